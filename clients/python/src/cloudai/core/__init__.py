"""The part of the client that does no input or output: threads and asyncio share it."""
