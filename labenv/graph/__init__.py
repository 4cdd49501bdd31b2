"""An environment as a graph: what runs where, who is let in, who reaches whom as measured, where mail goes; and its drawings.

`look` asks the machines, `record` is what they tell, `drawing`, `mermaid` and `dot` are its forms for others.
"""
