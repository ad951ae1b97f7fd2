"""Files: written whole or not at all, checked before they are believed, never unpickled.

whole        a file under a temporary name, flushed, renamed, its folder flushed
strict_json  JSON with nothing left to chance, and bounded before it is parsed
header       the header of a safetensors file: composed, parsed, held against the file's size
tensors      arrays and metadata in a safetensors file, with checksums
tree         nested dicts and lists with arrays in them, as arrays and JSON
"""
