# Two commands: `sudo make up` for a control plane on this machine, `make test` for every test there is.
# CONTROL_PLANE_BINARIES=DIR KUBERNETES_VERSION=vX.Y.Z make both use other component binaries.

.PHONY: up down test bench

up:
	@packaging/up

down:
	@target/release/bootstrap reset --force

test:
	@packaging/test

bench:
	@packaging/bench
