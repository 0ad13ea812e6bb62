# Thin: each target is a line or two that could be typed. `make` lists them.

KERNEL  ?= 6.12
PATCHES ?= patches/linux-6.12
WANT     = -append rsplice.want=1# a kernel without the call fails
LINT     = go tool -modfile=tools/go.mod

.PHONY: help build check test host guest conformance conformance-debug suites e2e more mutants series lkdtm bench bench-readpaths spread bench-large-folios no-cost boots

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' Makefile

build: ## ./runvm
	go build -o runvm ./cmd/runvm

check: host ## format, vet, lint, tidy, host tests, docs: no VM, no kernel
	@test -z "$$(gofmt -l .)" || { echo "run gofmt -w on:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -tags e2e ./internal/e2e
	$(LINT) staticcheck ./...
	go mod tidy -diff

host:
	go test ./...

test: check guest e2e ## everything: check, then guest tests, then runvm itself against real kernels

guest: build ## the guest tests on the patched kernel, long ones left out (see conformance, suites)
	./runvm test -short -kernel $(KERNEL) -patches $(PATCHES) $(WANT) -timeout 30m ./vmtests/... ./fusesrv/...

conformance: build ## every case of every read path, over files, sockets and memory (FLAGS=)
	./runvm test -kernel $(KERNEL) -patches $(PATCHES) $(WANT) -memory 2048 -timeout 120m $(FLAGS) ./vmtests/fuseread

conformance-debug: override FLAGS += -profile debug -append kmemleak=on -silence 20m
conformance-debug: conformance ## the same where KASAN, lockdep, DEBUG_VM and kmemleak look on

RUN      = runs/$(shell date +%Y-%m-%dT%H.%M.%S)
PROGRAMS = runs/programs-$(KERNEL)
WITH     = fio stress-ng sh cat cut dirname grep wc $(addprefix $(PROGRAMS)/,test_syscalls \
	splice_read default_file_splice_read short_splice_read.sh default_file_splice_read.sh)

suites: DIR := $(RUN)
suites: build ## suites of others, and random operations, over every read path: a table of suite by path
	./tools/suites $(PROGRAMS) -kernel $(KERNEL) -patches $(PATCHES)
	./runvm test -kernel $(KERNEL) -patches $(PATCHES) $(WANT) -memory 2048 -timeout 300m $(addprefix -with ,$(WITH)) -o $(DIR) ./vmtests/suites; \
		code=$$?; ./runvm report -format matrix $(DIR); exit $$code

e2e: build ## runvm itself: verdicts of kernels that really crash, hang, stay silent
	go test -tags e2e -count 1 -timeout 60m ./internal/e2e

more: build ## what needs kernels that nothing else does: KUnit, cores, modules, a kernel that moves
	go test -tags e2e -count 1 -timeout 120m -run '^(TestMore|TestTree)$$' ./internal/e2e -more

mutants: build ## each rule of rsplice(2) taken from the kernel in turn: the test for it must fail
	go test -tags e2e -count 1 -timeout 120m -run '^TestMutants$$' -v ./internal/e2e -mutants

series: build ## what a series touches, compiled after each patch: W=1, sparse, checkpatch, 32 bit, arm64, as a module (WHOLE=-series-whole: and linked)
	./tools/sparse runs/programs
	PATH=$(CURDIR)/runs/programs:$$PATH go test -tags e2e -count 1 -timeout 240m -run '^TestSeries$$' -v ./internal/e2e -series -series-kernel $(KERNEL) -series-patches $(PATCHES) $(WHOLE)

lkdtm: build ## every crash the kernel's own crash module knows, and what runvm says of each (UPDATE=-update: into docs)
	go test -tags e2e -count 1 -timeout 120m -parallel 2 -v -run '^TestLKDTM$$' ./internal/e2e -catalogue $(UPDATE)

bench: build ## seconds: cold and warm builds, command to verdict, start of QEMU to first event
	go test -tags e2e -count 1 -timeout 60m -run '^$$' -bench . ./internal/e2e

COUNTER   = vmtests/counter/copied.patch
BARS      = $(addprefix -bars vmtests/readbench/,bars.toml bars-copies.toml $(if $(filter 7.%,$(KERNEL)),bars-io_uring.toml))

# What benchmarks read: a guest that writes nothing is the same whenever it runs.
IMAGE     = runs/readbench.img

$(IMAGE): vmtests/readbench/image_test.go | build
	mkdir -p $(@D)
	./runvm test -kernel $(KERNEL) -patches $(PATCHES) -share $(@D):/image:rw -run TestImage ./vmtests/readbench

bench-readpaths: DIR := $(RUN)
bench-readpaths: build $(IMAGE) ## what each way to answer a FUSE READ costs, and whether that is little enough (KERNEL=)
	./runvm bench -kernel $(KERNEL) -patches $(PATCHES) -disk $(IMAGE) -count 10 -timed 10 -timeout 180m $(FLAGS) -o $(DIR)/instructions ./vmtests/readbench
	./runvm bench -kernel $(KERNEL) -patches $(PATCHES) -patches $(COUNTER) -count 1 -disk $(IMAGE) -timeout 60m $(FLAGS) -o $(DIR)/copies ./vmtests/readbench
	./runvm bench $(BARS) -o $(DIR)/all $(DIR)/instructions/bench.txt $(DIR)/copies/bench.txt

spread: DIR := $(RUN)
spread: build $(IMAGE) ## figures of five guests of one seed at once: the same to the last digit
	for n in 1 2 3 4 5; do ./runvm bench -kernel $(KERNEL) -patches $(PATCHES) -disk $(IMAGE) -count 1 -seed 7 -timeout 60m \
		-bench 'Read/.*/size=1024KiB' $(FLAGS) -o $(DIR)/$$n ./vmtests/readbench >/dev/null & done; wait
	for n in 2 3 4 5; do cmp $(DIR)/1/bench.txt $(DIR)/$$n/bench.txt || exit; done; sha256sum $(DIR)/*/bench.txt

bench-large-folios: build $(IMAGE) ## rsplice(2) against passthrough where FUSE's page cache may have large folios
	./runvm bench -kernel 7.3 -patches patches/linux-7.3 -patches patches/linux-7.3-large-folios -append fuse.large_folios=1 \
		-disk $(IMAGE) -count 10 -bars vmtests/readbench/bars-large-folios.toml \
		-bench 'Read/path=(rsplice-direct|passthrough)/size=1024KiB/backing=odirect/access=seq' $(FLAGS) ./vmtests/readbench

NOCOST = -timeout 60m -threshold 0.5 $(FLAGS)

no-cost: build $(IMAGE) ## what the series costs those who do not use it, or changes for them: pipes, splice(2), writes by splice(2), plain FUSE
	./runvm ab -kernel $(KERNEL) -patches $(PATCHES) $(NOCOST) -deterministic -count 4 -disk 64 -run '^$$' -bench . ./vmtests/splicebench
	./runvm ab -kernel $(KERNEL) -patches $(PATCHES) $(NOCOST) -deterministic -count 4 -disk $(IMAGE) -run '^$$' \
		-bench 'Read/path=(none|copy|splice|splice-move|passthrough|io_uring.*)/size=(4|1024)KiB/.*/access=(seq|random)' ./vmtests/readbench
	./runvm ab -kernel $(KERNEL) -base-patches $(COUNTER) -patches $(PATCHES) -patches $(COUNTER) $(NOCOST) -count 4 -disk 64 -run '^$$' -bench . ./vmtests/splicebench
	./runvm ab -kernel $(KERNEL) -patches $(PATCHES) $(NOCOST) -disk 64 ./vmtests/splicebench

boots: build ## 200 boots of 200 on a loaded machine
	go test -count 1 -timeout 120m -run '^TestBoots$$' ./internal/vm -boots 200 -kernel $$(./runvm build -print vmlinux)
