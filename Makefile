# brokerd: `make help` lists what there is to do here.

PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZTIME ?= 10000x
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

BINDIR      := $(PREFIX)/bin
UNITDIR     := $(PREFIX)/lib/systemd/system
SYSUSERSDIR := $(PREFIX)/lib/sysusers.d
TMPFILESDIR := $(PREFIX)/lib/tmpfiles.d
DOCDIR      := $(PREFIX)/share/doc/brokerd
MANDIR      := $(PREFIX)/share/man/man1
BASHDIR     := $(PREFIX)/share/bash-completion/completions
ZSHDIR      := $(PREFIX)/share/zsh/site-functions
FISHDIR     := $(PREFIX)/share/fish/vendor_completions.d
COMPLETIONS := $(BASHDIR)/brokerctl $(ZSHDIR)/_brokerctl $(FISHDIR)/brokerctl.fish
UNITS       := brokerd.service brokerd.socket
CONFIG      := /etc/brokerd/brokerd.yaml
DOCS        := $(wildcard README.md docs/*.md)

# Pure Go: one binary for every distribution, and the same name lookups everywhere.
GO_BUILD    := CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)"
# Pinned here and not in go.mod: it is a tool, no dependency.
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := build
.PHONY: help build test lint cross model bugs steps torture soak fuzz deps demo demo-hosts bench-format bench-gateway bench-check install uninstall clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

build: ## bin/brokerd and bin/brokerctl
	$(GO_BUILD) -o bin/ ./cmd/brokerd ./cmd/brokerctl

test: deps ## run every check there is; REQUIRE_ALL=1 makes a skipped test fail
	@go run ./tests/cmd/gotest -fuzztime $(FUZZTIME)

lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .) || exit 1; \
	  [ -z "$$unformatted" ] || { echo "not formatted (mend with gofmt -w):"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go vet -tags ringmodel ./internal/shmring
	go vet -tags ringstep ./internal/shmring ./internal/broker ./internal/stepping
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags ringmodel ./internal/shmring
	$(STATICCHECK) -tags ringstep ./internal/shmring ./internal/broker ./internal/stepping

cross: ## build and vet for arm64
	GOARCH=arm64 CGO_ENABLED=0 go build ./...
	GOARCH=arm64 CGO_ENABLED=0 go vet ./...

model: ## step the ring through every interleaving of small sizes; prints the state counts
	go test -count=1 -tags ringmodel ./internal/shmring -run Model -v

bugs: ## plant known bugs in copies of the code; the model and the link simulator have to find each
	go test -count=1 -timeout 20m ./tests/bugs -v -all

steps: ## kill and stop a process between every two stores to shared memory; prints the table
	go test -count=1 -p=1 -tags ringstep ./internal/shmring ./internal/broker -run '^TestSteps$$' -v

torture: ## kill, stop and continue daemons, producers and readers for 10 minutes, and check every record
	go test -count=1 -timeout 40m ./tests/torture -run '^TestTorture$$' -v -args -for 10m -kills 10000

soak: ## 12 min: thousands of attachments and rings, and a 10-minute load; draws what the daemons hold meanwhile
	go test -count=1 -timeout 30m ./tests/limits -run 'NothingIsLeft|ClientLeavesNothing' -v -full
	go test -count=1 -timeout 30m ./tests/soak -run Soak -v -for 10m -csv $(CURDIR)/bench/results/$$(date +%F)-soak.csv
	cd bench && go run ./cmd/soakplot results/$$(date +%F)-soak.csv results/$$(date +%F)-soak.svg

fuzz: ## run each fuzz target for FUZZTIME: inputs (default 10000x) or a time (1m)
	@go run ./tests/cmd/gotest -only fuzz -fuzztime $(FUZZTIME)

deps: ## install what the tests need from Debian, as root; quick when it is there
	@tests/setup.sh

demo: build ## a feed, three readers and a killed daemon, in about 20 s
	go run ./tests/demo

demo-hosts: build ## two daemons with TLS, a feed mirrored, each daemon killed once, in about 10 s
	tests/demo/hosts.sh bin

bench-format: ## measure the choices behind the ring format
	$(MAKE) -C bench format

bench-gateway: ## measure the gateway, about 10 min; wants both cores and libzmq3-dev
	$(MAKE) -C bench gateway

bench-check: ## compare the newest figures of the gateway with bars and floors
	$(MAKE) -C bench gateway-check

install: build ## install under PREFIX (default /usr/local), below DESTDIR
	install -D -m 0755 -t $(DESTDIR)$(BINDIR) bin/brokerd bin/brokerctl
	install -d $(DESTDIR)$(UNITDIR)
	for unit in $(UNITS); do \
	  sed 's|@BINDIR@|$(BINDIR)|; s|@DOCDIR@|$(DOCDIR)|' deploy/systemd/$$unit > $(DESTDIR)$(UNITDIR)/$$unit && \
	  chmod 0644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; \
	done
	install -D -m 0644 -t $(DESTDIR)$(SYSUSERSDIR) deploy/sysusers.d/brokerd.conf
	install -D -m 0644 -t $(DESTDIR)$(TMPFILESDIR) deploy/tmpfiles.d/brokerd.conf
	install -D -m 0644 -t $(DESTDIR)$(DOCDIR) LICENSE $(DOCS) deploy/prometheus/brokerd.rules.yml
	install -d $(DESTDIR)$(MANDIR) $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR)
	bin/brokerctl man --dir $(DESTDIR)$(MANDIR)
	bin/brokerctl completion bash > $(DESTDIR)$(BASHDIR)/brokerctl
	bin/brokerctl completion zsh > $(DESTDIR)$(ZSHDIR)/_brokerctl
	bin/brokerctl completion fish > $(DESTDIR)$(FISHDIR)/brokerctl.fish
	chmod 0644 $(DESTDIR)$(MANDIR)/brokerctl*.1 $(addprefix $(DESTDIR),$(COMPLETIONS))
	@deploy/install-config configs/brokerd.yaml $(DESTDIR)$(CONFIG)
	@[ -n "$(DESTDIR)" ] || echo "next: systemd-sysusers && systemd-tmpfiles --create brokerd.conf && systemctl daemon-reload && systemctl enable --now brokerd"
	@[ -n "$(DESTDIR)" ] || echo "or, for a control socket that is there while the daemon is not: ... systemctl enable --now brokerd.socket brokerd"

uninstall: ## remove what install put there, but for the configuration
	rm -f $(DESTDIR)$(BINDIR)/brokerd $(DESTDIR)$(BINDIR)/brokerctl $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS))
	rm -f $(DESTDIR)$(SYSUSERSDIR)/brokerd.conf $(DESTDIR)$(TMPFILESDIR)/brokerd.conf
	rm -f $(DESTDIR)$(MANDIR)/brokerctl.1 $(DESTDIR)$(MANDIR)/brokerctl-*.1 $(addprefix $(DESTDIR),$(COMPLETIONS))
	rm -rf $(DESTDIR)$(DOCDIR)
	@echo "left in place: $(DESTDIR)$(CONFIG) and the user brokerd"

clean: ## remove what was built
	rm -rf bin
