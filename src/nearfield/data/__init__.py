"""The data room: files and tables to a collection of clips, and clips to samples."""
