"""The page: a lab in the browser. The same facts as on the command line; nothing is decided here.

NiceGUI draws it (pip install 'labenv[web]'): Vue, Quasar and xterm.js in one wheel, so that nothing is fetched from elsewhere.
"""
