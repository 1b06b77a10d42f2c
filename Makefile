# SPDX-License-Identifier: MIT
# The two commands: `make run` boots a Debian kernel to a shell on this terminal, `make test` runs all tests.
# Both start from a bare Debian 12: missing packages are installed, the guest is fetched, everything is built.
DISCO  := build/release/disco
KERNEL := guest/cache/vmlinuz
INITRD := guest/cache/initramfs.cpio
# make run APPEND='console=ttyS0 quiet' ARGS='--stats --cpu 24Kf'
APPEND ?= console=ttyS0
ARGS   ?=

.PHONY: all run test test-long bench bench-programs guest install clean help

all:
	@.ci/packages build
	@cmake --preset release -Wno-dev --log-level=WARNING
	@cmake --build build/release --target disco

guest:
	@guest/fetch

run: all guest
	@echo "disco: Ctrl-A x quits, Ctrl-A h shows the keys"
	@$(DISCO) run --kernel $(KERNEL) --initrd $(INITRD) --append '$(APPEND)' $(ARGS)

test:
	@.ci/packages test
	@tests/run_all short

# Hours instead of minutes: long fuzzing, the system tests' long forms.
test-long:
	@.ci/packages image
	@tests/run_all long

# Disco and QEMU in turn; needs an otherwise idle machine.
bench: all guest
	@.ci/packages test
	@bench/boot --disco $(DISCO) --kernel $(KERNEL) --initrd $(INITRD) --json build/boot.json --svg build/boot.svg
	@bench/load --disco $(DISCO) --kernel $(KERNEL) --initrd $(INITRD) --json build/load.json
	@cmake --build build/release --target bench_programs
	@$(DISCO) bench --kernel $(KERNEL) --initrd $(INITRD) --json build/micro.json

# Debian's programs on Disco, QEMU and this machine; makes an image of them first.
bench-programs: all guest
	@.ci/packages image
	@[ -f build/bench.img ] || $(DISCO) guest build bench --dir build
	@bench/vs-qemu --disco $(DISCO) --disk build/bench.img --json build/vs-qemu.json --svg build/vs-qemu.svg

install: all
	@cmake --install build/release

clean:
	rm -rf build

help:
	@echo "make run        boot a Debian kernel to a shell (variables: APPEND, ARGS)"
	@echo "make test       all tests, under 20 minutes on two cores"
	@echo "make test-long  the same with long fuzzing and long system tests"
	@echo "make bench      time Disco's boot, a load, and single operations, against QEMU's"
	@echo "make bench-programs  the same with Debian's gcc, python3, xz and others, from an image that it makes"
	@echo "make install    into CMake's prefix; make clean removes build/"
