"""llama.cpp's server on a free port of 127.0.0.1, with a tiny model made for it.

    inference_server.py DIRECTORY CALLS TEXT

The model is written into the directory. It makes the calls, a JSON array of {"name", "arguments"}, when
it is offered tools and a person has spoken last, and else says the text. The first line on standard
output is the base URL. The server ends with its standard input.
"""

import json
import os
import sys

import tiny_model
import xllamacpp


def main():
    directory, calls, text = sys.argv[1:]
    path = os.path.join(directory, "tiny.gguf")
    tiny_model.write(path, json.loads(calls), text)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.model_alias = {"tiny"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = 65536
    parameters.n_parallel = 2
    parameters.n_predict = 1024
    parameters.sampling.seed = 1
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(f"{server.listening_address}/v1", flush=True)
    sys.stdin.read()


main()
