"""The bundled default: real places, views of the Earth in place of photos, and a loopback server that serves them.

Here live the maker of the lists (`places`, `scenes`, `lists`), the look of a view (`views`), the misbehaviour of its
URL (`faults`), the server (`server`, `process`) and its users' side (`lease`, `settings`, `fingerprint`). Not here:
crawling, which knows this server only as an origin. The one idea: a photo shows its place and nothing else tells of it.
"""
