"""edgepipe's static quantization beside that of other tools: same model, same pictures, one judge."""
