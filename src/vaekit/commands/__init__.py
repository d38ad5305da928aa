"""The commands of the command line, one function each, imported when they are called."""
