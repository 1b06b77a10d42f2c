# SPDX-License-Identifier: MIT
# The two commands: `make run` boots a Debian kernel to a shell on this terminal, `make test` runs all tests.
# Both start from a bare Debian 12: missing packages are installed, the guest is fetched, everything is built.
DISCO  := build/release/disco
KERNEL := guest/cache/vmlinuz
INITRD := guest/cache/initramfs.cpio
# make run APPEND='console=ttyS0 quiet' ARGS='--stats --cpu 24Kf'
APPEND ?= console=ttyS0
ARGS   ?=

.PHONY: all run test test-long bench guest install clean help

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
	@.ci/packages test
	@tests/run_all long

# Disco and QEMU in turn; needs an otherwise idle machine.
bench: all guest
	@.ci/packages test
	@bench/boot --disco $(DISCO) --kernel $(KERNEL) --initrd $(INITRD) --json build/boot.json --svg build/boot.svg
	@bench/load --disco $(DISCO) --kernel $(KERNEL) --initrd $(INITRD) --json build/load.json

install: all
	@cmake --install build/release

clean:
	rm -rf build

help:
	@echo "make run        boot a Debian kernel to a shell (variables: APPEND, ARGS)"
	@echo "make test       all tests, under 20 minutes on two cores"
	@echo "make test-long  the same with long fuzzing and long system tests"
	@echo "make bench      time Disco's boot, and a load, against QEMU's"
	@echo "make install    into CMake's prefix; make clean removes build/"
