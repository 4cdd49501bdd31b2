"""The life of an environment: planned, brought up, kept, changed under one guard, and taken down."""
