"""Tools in the march: exact lengths of ray in meshes, and the tissue that they replace taken out.

The patient's own march stays as it is; only the pixels under a tool's silhouette are worked on. What the march read
between a ray's entry and exit is read again and subtracted, so that tissue is removed to rounding, and the mesh's own
length of ray times its density is added as a channel of its own.
"""

from synthray.projector.mesh.add import add_tools as add_tools
