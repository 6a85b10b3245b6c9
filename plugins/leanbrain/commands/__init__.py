"""What `leanbrain <command>` can do, a module each; the table is in __main__.

Each has `add_arguments(parser)` and `main(options) -> int`; one that passes on
the words that it does not know gets them as a second argument. They import
torch and SpeechBrain inside of functions, so that `leanbrain --help` is fast.
"""
