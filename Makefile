# `make check` is what CI runs; the other targets are its steps, and the load generator.

.PHONY: check fmt clippy doc test interop release load chaos

check:
	bash .ci/run

fmt:
	cargo fmt --all

clippy doc release:
	bash .ci/run $@

test:
	cargo test

interop:
	bash tests/interop/run

# The load generator against a gateway that it starts itself; ARGS are its arguments, --help lists them.
load: release
	cargo run --release --example load -- $(ARGS)

# Mixed load on eight servers, two of which are killed, hung and flooded at random, for a minute.
chaos: release
	cargo build --release --examples
	cargo run --release --example chaos -- $(ARGS)
