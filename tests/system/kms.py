"""A service that encrypts and decrypts for whoever has its token, KMS_TOKEN. The file that the argument names says how it behaves."""
import hashlib
import hmac
import http.server
import os
import sys
import threading

SECRET = os.urandom(32)


def mask(nonce, data):
    return bytes(a ^ b for a, b in zip(data, hmac.digest(SECRET, nonce, hashlib.sha256)))


class Kms(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[1]) as file:
            mode = file.read().strip()
        if mode == "silent":
            threading.Event().wait()
        if self.path == "/encrypt":
            nonce = os.urandom(16)
            sealed = nonce + mask(nonce, body)
            answer = sealed + hmac.digest(SECRET, sealed, hashlib.sha256)
        elif hmac.compare_digest(hmac.digest(SECRET, body[:48], hashlib.sha256), body[48:]):
            answer = mask(body[:16], body[16:48])
        else:
            answer = b""
        if self.headers["Authorization"] != "Bearer " + os.environ["KMS_TOKEN"]:
            status, answer = 403, b""
        else:
            status = 500 if mode == "broken" or not answer else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[:31] if mode == "cut" else answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 24390), Kms)
print("listening", flush=True)
server.serve_forever()
