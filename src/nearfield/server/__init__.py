"""The server behind the page: search, sounds, pictures, the map, decisions and curves over HTTP."""
