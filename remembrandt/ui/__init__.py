"""The web page: Gradio blocks that know the public HTTP API and nothing else of the package."""
