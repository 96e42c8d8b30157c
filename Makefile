# What can be done with a checkout; `make help` lists it.

CARGO ?= cargo
PREFIX ?= /usr/local
# A clone of the RustSec advisory database for `make audit`; empty: cargo-audit fetches its own.
ADVISORY_DB ?=
# How often `make test-under-load` runs the tests beside busy loops of each priority.
TIMES ?= 10
# How long `make fuzz` spends on each target.
SECONDS ?= 60

# The oldest compiler that Cargo.toml allows.
OLDEST_RUST = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

# What is compiled.
SOURCES := Cargo.toml Cargo.lock $(shell find src -type f) etc/config.toml etc/policy.toml contrib/openapi.json
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET_DIR)/release/jarvis-secretsd
MUSL := x86_64-unknown-linux-musl
# Where the linker for it is, the static binary is made for aarch64 too.
CROSS_GCC := aarch64-linux-gnu-gcc
STATIC_TARGETS := $(MUSL) $(if $(shell command -v $(CROSS_GCC)),aarch64-unknown-linux-musl)
STATIC_BINARIES := $(STATIC_TARGETS:%=dist/jarvis-secretsd-%)

# What packages and image are called.
VERSION := $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
# The time of all that is made in dist: that of the commit, so that the same commit gives the same bytes.
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),0)
static deb rpm image: export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)

# What the daemon is measured beside.
RUSTY_VAULT := 0.2.1

# A compiler's linker, musl for the static binary, and what the system tests and the benchmark call.
PACKAGES := aardvark-dns acl age binutils bsdutils buildah busybox-static ca-certificates catatonit clevis clevis-tpm2 curl \
	debian-archive-keyring debootstrap direnv e2fsprogs faketime fish g++ gcc gnupg golang-github-hashicorp-hcl-v2-dev \
	golang-github-masterminds-sprig-dev golang-go iproute2 iptables jose jq libc6-dev libpcre2-8-0 libtss2-tcti-swtpm0 lintian \
	mandoc musl-tools netavark opensc openssh-client openssl podman postgresql procps python3-hvac python3-psycopg2 \
	python3-venv redis-server rpm runc socat softhsm2 sslscan strace swtpm systemd systemd-container tang-common testssl.sh \
	tpm2-tools util-linux wget wrk zsh
UNITS := $(notdir $(wildcard $(addprefix contrib/systemd/*.,service socket timer)))
# What is installed beside the documentation, as it lies in contrib.
CONTRIB := $(patsubst contrib/%,%,$(wildcard contrib/*.json contrib/*.yaml contrib/appliers/README.md \
	contrib/systemd/cluster.conf contrib/systemd/config.toml \
	$(foreach directory,examples key-sources key-sources/credential key-sources/filter kubernetes kubernetes/ha nginx openrc \
	prometheus,contrib/$(directory)/*.*)))
APPLIERS := file nginx postgres redis
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: run build static deb rpm image release test test-under-load test-system test-system-long deps release-deps bench bench-deps dashboard-picture fuzz audit lint lint-oldest-rust fmt install clean help

run: ## Build the daemon and start it on 127.0.0.1:8081, with its state in ./state
	$(CARGO) run --release --locked -- --config etc/dev.toml

build: ## Build the release binary
	$(CARGO) build --release --locked

# Its bytes depend on the source and the compiler alone: no path of this machine and no time gets into it.
# Relocations are packed, which take 80 kB otherwise. (A linker for aarch64 that is too old for that leaves them as they are.)
# Less is inlined than by default: so it has less than 6 MB, of which it holds less than 4 MiB in memory when it has nothing to do.
static: export RUSTFLAGS := --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo \
	-Clink-arg=-Wl,-z,pack-relative-relocs -Cllvm-args=-inline-threshold=25 -Cllvm-args=-inlinehint-threshold=100
static: export CC_aarch64_unknown_linux_musl := $(CROSS_GCC)
static: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER := $(CROSS_GCC)
static: ## Build the static binary, which needs nothing else of the system, with checksum and SBOM, in dist/
	@$(CARGO) cyclonedx --version >/dev/null 2>&1 || \
		{ echo "cargo-cyclonedx is missing; to install it: cargo install --locked cargo-cyclonedx" >&2; exit 1; }
	rm -rf dist && mkdir dist
	for target in $(STATIC_TARGETS); do \
		$(CARGO) build --release --locked --target $$target && \
		cp $(TARGET_DIR)/$$target/release/jarvis-secretsd dist/jarvis-secretsd-$$target && \
		$(CARGO) cyclonedx --quiet --format json --spec-version 1.5 --describe binaries --target $$target && \
		sed 's|path+file://$(CURDIR)|path+file:///jarvis-secretsd|' jarvis-secretsd_bin.cdx.json \
			>dist/jarvis-secretsd-$$target.cdx.json && \
		rm jarvis-secretsd_bin.cdx.json || exit 1; \
	done
	$(checksums)

# Of all that is in dist.
define checksums
cd dist && rm -f SHA256SUMS* && sha256sum * >SHA256SUMS && ls -l
endef

# Packages and image take the binaries that are in dist, unless the source is newer.
$(STATIC_BINARIES) &: $(SOURCES)
	$(MAKE) static

deb: ## Make packages for Debian of the static binaries, in dist/
rpm: ## Make packages for RPM of the static binaries, in dist/
deb rpm: $(STATIC_BINARIES)
	@command -v nfpm >/dev/null || { echo "nfpm is missing; make release-deps installs it (Debian)" >&2; exit 1; }
	for binary in $(STATIC_BINARIES); do \
		case $$binary in *x86_64*) machine=amd64 ;; *) machine=arm64 ;; esac && \
		packaging/package.sh $@ $$machine $$binary $(VERSION) dist || exit 1; \
	done
	$(checksums)

image: $(STATIC_BINARIES) ## Make a container image of the static binaries, as an OCI archive in dist/
	@command -v buildah >/dev/null || { echo "buildah is missing; make release-deps installs it (Debian)" >&2; exit 1; }
	packaging/image.sh $(VERSION) dist/jarvis-secretsd-$(VERSION).oci.tar
	$(checksums)

# STATIC_TARGETS on the command line says otherwise.
release: ## Make all that is released, in dist/: static binaries for both machines, packages, image, SBOMs, checksums
	@[ "$(words $(STATIC_TARGETS))" = 2 ] || [ "$(origin STATIC_TARGETS)" = "command line" ] || \
		{ echo "$(CROSS_GCC) is missing, which the binary for aarch64 needs; make release-deps installs it" >&2; exit 1; }
	$(MAKE) static
	$(MAKE) deb rpm image

test: ## Run the tests; needs cargo and nothing else
	$(CARGO) test --locked

test-under-load: ## Run the tests TIMES=10 times beside busy loops of each priority, and say which fail; takes hours
	TIMES=$(TIMES) tests/under-load.sh

test-system: build ## Run the tests that need other programs; says which are missing
	BINARY=$(abspath $(BINARY)) tests/system/run

test-system-long: build ## Run the same with longer campaigns of crashes, power cuts, overload, lost etcd members and random operations; takes half an hour
	MODEL_TIMES=20 $(CARGO) test --release --locked --test model
	SOAK_SECONDS=1200 KILL_ROUNDS=2500 OVERLOAD_SECONDS=300 ROTATIONS=500 CAMPAIGNS=3 \
		CLUSTER_SECONDS=600 CLUSTER_ROTATIONS=500 \
		BINARY=$(abspath $(BINARY)) tests/system/run

# The packages prometheus and nginx would start servers that listen on every address.
deps: ## Install what test-system, static and bench need (Debian)
	$(AS_ROOT) apt-get update
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(PACKAGES)
	tests/system/unpack.sh prometheus usr/bin/promtool
	tests/system/unpack.sh prometheus usr/bin/prometheus
	tests/system/unpack.sh nginx usr/sbin/nginx
	tests/system/unpack.sh kubernetes-client usr/bin/kubectl
	tests/system/unpack.sh etcd-server usr/bin/etcd
	tests/system/unpack.sh etcd-client usr/bin/etcdctl
	packaging/tools.sh
	tests/system/tools.sh
	if command -v rustup; then \
		rustup target add $(STATIC_TARGETS) && rustup component add clippy rustfmt && \
		rustup toolchain install $(OLDEST_RUST) --profile minimal; \
	fi

release-deps: ## Install what release needs (Debian, Ubuntu)
	$(AS_ROOT) apt-get update
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		buildah gcc gcc-aarch64-linux-gnu libc6-dev libc6-dev-arm64-cross musl-tools python3-venv uidmap
	packaging/tools.sh
	rustup target add $(MUSL) aarch64-unknown-linux-musl

bench: build static ## Measure speed, growth and what it takes at rest, beside others in the same run; writes tests/bench/RESULTS.md
	BINARY=$(abspath $(BINARY)) tests/bench/bench.sh

bench-deps: ## Build RustyVault, which bench measures beside the daemon (Debian, after deps)
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libssl-dev pkg-config
	$(CARGO) install --locked --root $(TARGET_DIR)/bench --version $(RUSTY_VAULT) rusty_vault

dashboard-picture: build ## Draw docs/dashboard.png from what a Prometheus sees of a daemon that is kept busy for six minutes
	BINARY=$(abspath $(BINARY)) tests/system/dashboard/picture.sh

# What is found on the way goes to fuzz/found, which git ignores; an input that breaks something, to fuzz/artifacts.
fuzz: ## Fuzz every parser for SECONDS=60 each
	@$(CARGO) fuzz --version >/dev/null 2>&1 || \
		{ echo "cargo-fuzz is missing; to install it: cargo install --locked cargo-fuzz" >&2; exit 1; }
	cd fuzz && for target in $$(RUSTC_BOOTSTRAP=1 $(CARGO) fuzz list --fuzz-dir .); do \
		mkdir -p found/$$target && \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir . $$target found/$$target corpus/$$target -- \
			-max_total_time=$(SECONDS) -max_len=16384 -timeout=10 -rss_limit_mb=2048 || exit 1; \
	done

audit: ## Check the dependencies against the published vulnerabilities of RustSec
	@$(CARGO) audit --version >/dev/null 2>&1 || \
		{ echo "cargo-audit is missing; to install it: cargo install --locked cargo-audit" >&2; exit 1; }
	$(CARGO) audit $(if $(ADVISORY_DB),--db $(ADVISORY_DB) --no-fetch --stale)

lint: ## Check the formatting, and run clippy with warnings as errors
	$(CARGO) fmt --all --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --check --manifest-path tests/system/vault-clients/vaultrs/Cargo.toml
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --target-dir $(TARGET_DIR) --locked -- -D warnings

lint-oldest-rust: ## Check that the oldest Rust that is promised takes the source (rustup, after deps)
	$(CARGO) +$(OLDEST_RUST) check --locked --target-dir $(TARGET_DIR)/oldest-rust

fmt: ## Format the source
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --manifest-path tests/system/vault-clients/vaultrs/Cargo.toml

# Builds only what is out of date, so that `sudo make install` after `make build` needs no cargo.
install: SHARE = $(DESTDIR)$(PREFIX)/share
install: DOC = $(SHARE)/doc/jarvis-secretsd
install: LIBEXEC = $(DESTDIR)$(PREFIX)/libexec/jarvis-secretsd
install: $(BINARY) ## Install binary, units, manual, completions and examples under PREFIX (/usr/local), below DESTDIR if set
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/jarvis-secretsd
	install -D -m 644 -t $(DOC) etc/config.toml etc/policy.toml
	for file in $(CONTRIB); do install -D -m 644 contrib/$$file $(DOC)/$$file || exit 1; done
	install -D -m 755 -t $(LIBEXEC) contrib/*.sh $(addprefix contrib/appliers/,$(APPLIERS))
	install -m 644 -t $(LIBEXEC) contrib/appliers/*.py
	sed -i 's|/usr/local/|$(PREFIX)/|' $(addprefix $(LIBEXEC)/,backup-vault.sh $(APPLIERS)) \
		$(addprefix $(DOC)/,appliers/README.md key-sources/README.md key-sources/filter/backup.conf)
	sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|' $(DOC)/openrc/jarvis-secretsd.initd
	for unit in $(UNITS); do \
		install -D -m 644 contrib/systemd/$$unit $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit && \
		sed -i 's|/usr/local/|$(PREFIX)/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; \
	done
	for section in 1 5 8; do install -D -m 644 -t $(SHARE)/man/man$$section man/*.$$section || exit 1; done
	sed -i 's|/usr/local/|$(PREFIX)/|' $(SHARE)/man/man5/jarvis-secretsd-config.5
	install -D -m 644 src/cli/completions/bash $(SHARE)/bash-completion/completions/jarvis-secretsd
	install -D -m 644 src/cli/completions/zsh $(SHARE)/zsh/site-functions/_jarvis-secretsd
	install -D -m 644 src/cli/completions/fish $(SHARE)/fish/vendor_completions.d/jarvis-secretsd.fish

$(BINARY): $(SOURCES)
	$(CARGO) build --release --locked

clean: ## Remove what was built; ./state stays
	$(CARGO) clean
	rm -rf dist

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile
