"""What goes on while a class is served: who may come in, who did what, and when environments are stopped."""
