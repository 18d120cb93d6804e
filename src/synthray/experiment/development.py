"""The real X-rays on which the recipes for chests were chosen.

Ten images of nine people, the first by patient code in the project's test data. Scores that claim to be on unseen
images leave them out.
"""

DEVELOPMENT_STEMS = frozenset(
    {
        "1312A392-67A3-4EBF-9319-810CF6DA5EF6",
        "80446565-E090-4187-A031-9D3CEAA586C8",
        "93FE0BB1-022D-4F24-9727-987A07975FFB",
        "SARS-10.1148rg.242035193-g04mr34g05x-Fig5-day9",
        "covid-19-pneumonia-evolution-over-a-week-1-day0-PA",
        "pneumocystis-jiroveci-pneumonia-2",
        "pneumocystis-jiroveci-pneumonia-4-PA",
        "pneumocystis-jirovecii-pneumonia-3-1",
        "pneumocystis-jirovecii-pneumonia-3-2",
        "pneumocystis-pneumonia-1",
    }
)
