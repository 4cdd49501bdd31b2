"""One lab as data: its model, topology, file templates, solutions, drills and mutations, and where labs are found."""
