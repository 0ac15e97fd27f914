# `make check` is what CI runs; the other targets are its steps, and the load generator.

.PHONY: check fmt clippy doc test interop release load chaos all install uninstall FORCE

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

# For those without a package: the program, its units, manual page and completions. PREFIX and DESTDIR say where.
PREFIX ?= /usr
DESTDIR ?=
CARGO ?= cargo
PROGRAM = target/release/trunkline
# What is made of the program for it: manual page, completions, and the unit for one person.
PAGES ?= target/pages
ROOT = $(DESTDIR)$(PREFIX)

all: $(PROGRAM) $(PAGES)/trunkline.1

$(PROGRAM): FORCE
	$(CARGO) build --release --locked

FORCE:

$(PAGES)/trunkline.1: $(PROGRAM)
	mkdir -p $(PAGES)
	$(PROGRAM) man > $(PAGES)/trunkline.1
	$(PROGRAM) completions bash > $(PAGES)/trunkline.bash
	$(PROGRAM) completions zsh > $(PAGES)/_trunkline
	$(PROGRAM) completions fish > $(PAGES)/trunkline.fish
	mkdir -p $(PAGES)/user
	sed 's|%h/.cargo/bin/trunkline|$(PREFIX)/bin/trunkline|' systemd/user/trunkline.service > $(PAGES)/user/trunkline.service

install: all
	install -Dm755 $(PROGRAM) $(ROOT)/bin/trunkline
	install -Dm644 $(PAGES)/trunkline.1 $(ROOT)/share/man/man1/trunkline.1
	install -Dm644 $(PAGES)/trunkline.bash $(ROOT)/share/bash-completion/completions/trunkline
	install -Dm644 $(PAGES)/_trunkline $(ROOT)/share/zsh/site-functions/_trunkline
	install -Dm644 $(PAGES)/trunkline.fish $(ROOT)/share/fish/vendor_completions.d/trunkline.fish
	install -d $(ROOT)/lib/systemd/system
	for unit in service socket slice; do \
		sed 's|/usr/bin/trunkline|$(PREFIX)/bin/trunkline|' systemd/trunkline.$$unit > $(ROOT)/lib/systemd/system/trunkline.$$unit; \
		chmod 644 $(ROOT)/lib/systemd/system/trunkline.$$unit; \
	done
	install -Dm644 $(PAGES)/user/trunkline.service $(ROOT)/lib/systemd/user/trunkline.service
	install -Dm644 systemd/trunkline.tmpfiles $(ROOT)/lib/tmpfiles.d/trunkline.conf
	install -Dm644 systemd/trunkline.sysusers $(ROOT)/lib/sysusers.d/trunkline.conf
	install -Dm644 gateway.toml $(ROOT)/share/doc/trunkline/gateway.toml
	install -Dm644 docs/gateway.schema.json $(ROOT)/share/trunkline/gateway.schema.json

uninstall:
	rm -f $(ROOT)/bin/trunkline $(ROOT)/share/man/man1/trunkline.1
	rm -f $(ROOT)/share/bash-completion/completions/trunkline $(ROOT)/share/zsh/site-functions/_trunkline
	rm -f $(ROOT)/share/fish/vendor_completions.d/trunkline.fish
	rm -f $(ROOT)/lib/systemd/system/trunkline.service $(ROOT)/lib/systemd/system/trunkline.socket
	rm -f $(ROOT)/lib/systemd/system/trunkline.slice $(ROOT)/lib/systemd/user/trunkline.service
	rm -f $(ROOT)/lib/tmpfiles.d/trunkline.conf $(ROOT)/lib/sysusers.d/trunkline.conf
	rm -rf $(ROOT)/share/doc/trunkline $(ROOT)/share/trunkline
