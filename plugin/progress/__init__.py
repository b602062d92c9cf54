"""Progress: how work in progress speaks, to terminals, farms and hosts; how it is stopped; child processes."""
