#!/usr/bin/env python3
"""The conformance ratchet: replays recordings against a gateway of its own and compares each file with the share
that .ci/conformance.json says was reached before. Fails if one fell; says where the file can be raised.

    conformance.py REPLAYER BINARY
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

MINIMUMS = pathlib.Path(__file__).with_suffix(".json")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(binary, ports, data):
    proxy, tls, admin, status = ports
    environment = os.environ | {
        "SANDGATE_PROXY_LISTEN": f"127.0.0.1:{proxy}, 127.0.0.1:{tls} ssl http2",
        "SANDGATE_ADMIN_LISTEN": f"127.0.0.1:{admin}",
        "SANDGATE_STATUS_LISTEN": f"127.0.0.1:{status}",
        "SANDGATE_DATA_DIR": data,
        # That of the recorded node, which says so.
        "SANDGATE_LOG_LEVEL": "notice",
    }
    gateway = subprocess.Popen([binary, "run"], env=environment)
    for _ in range(600):
        if gateway.poll() is not None:
            sys.exit(f"conformance: the gateway ended with {gateway.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/status", timeout=2).close()
            return gateway
        except OSError:
            time.sleep(0.1)
    gateway.kill()
    sys.exit("conformance: the gateway did not start")


def replay(replayer, ports, result):
    proxy, tls, admin, status = ports
    command = [sys.executable, replayer, "--json", result, "--reset", "--echo-port", str(free_ports(1)[0])]
    for side, scheme, port in [("proxy", "http", proxy), ("proxy-tls", "https", tls), ("admin", "http", admin), ("status", "http", status)]:
        command += [f"--{side}", f"{scheme}://127.0.0.1:{port}"]
    subprocess.run(command, timeout=1200)
    return json.loads(pathlib.Path(result).read_text())


def judge(report, minimums):
    """Prints one line a file; true if none is below its minimum."""
    good, reached = True, {}
    for entry in report["files"]:
        results = [r for r in entry["results"] if not r["skipped"]]
        passed = sum(r["passed"] for r in results)
        share = int(1000 * passed / len(results)) / 10 if results else 0.0
        reached[entry["file"]] = share
        least = minimums.get(entry["file"], 0)
        verdict = "FELL" if share < least else "raise the minimum" if share >= least + 1 else ""
        print(f"{entry['file']:<32} {passed:>4}/{len(results):<4} {share:>6.1f} %  at least {least:>5} %  {verdict}".rstrip())
        good &= share >= least
    for name in sorted(set(minimums) - set(reached)):
        print(f"{name:<32} not replayed")
        good = False
    return good


def main():
    replayer, binary = sys.argv[1:]
    minimums = json.loads(MINIMUMS.read_text())
    ports = free_ports(4)
    with tempfile.TemporaryDirectory(prefix="sandgate-conformance-") as scratch:
        gateway = start(binary, ports, f"{scratch}/data")
        try:
            report = replay(replayer, ports, f"{scratch}/result.json")
        finally:
            gateway.terminate()
            try:
                gateway.wait(30)
            except subprocess.TimeoutExpired:
                gateway.kill()
    sys.exit(0 if judge(report, minimums) else "conformance: a file fell below its minimum")


if __name__ == "__main__":
    main()
