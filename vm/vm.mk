# Machines for the kernel half, in QEMU: ARCH=amd64|arm64 KERNEL=stock|lab MACHINE=pc|virt|raspi3b
ARCH   ?= $(shell dpkg --print-architecture 2>/dev/null)
KERNEL ?= stock
vm_run  = BUILD=$(BUILD) vm/$(1).sh --arch $(ARCH) --kernel $(KERNEL) $(if $(MACHINE),--machine $(MACHINE))

# Programs for the machine itself need no library in it.
$(O)/vm/tests/%: $(O)/vm/tests/%.o
	$(say)LD $@
	$(Q)$(CC) $(CFLAGS) -static -o $@ $^

vm-build: deps-vm ## fetch or build a kernel and build the modules for it: ARCH= KERNEL=stock or lab
	@BUILD=$(BUILD) vm/build_modules.sh --arch $(ARCH) --kernel $(KERNEL)
vm-test: deps-vm ## load the modules in a QEMU machine and run vm/tests in it: TESTS= ENGINES=
	@ENGINES="$(ENGINES)" $(call vm_run,test) $(TESTS)
vm-ci: deps-vm ## vm-test on both stock kernels and the lab kernel, planted bugs, power cuts: PARTS="amd64 arm64 lab power-cut"
	@BUILD=$(BUILD) vm/ci.sh $(PARTS)
vm-shell: deps-vm ## a shell in a machine; SHARE=folder DISK=file
	@$(call vm_run,shell) $(if $(SHARE),--share $(SHARE)) $(if $(DISK),--disk $(DISK))
vm-bench: deps-vm ## measure the modules beside the engines in userspace, in one machine; OUT=folder
	@$(call vm_run,bench) $(if $(OUT),--out $(OUT)) $(foreach v,engines workloads records threads profile,$(if $($(call upper,$v)),--$v $($(call upper,$v))))
vm-gdb: deps-vm ## gdb on a machine's kernel with the modules' symbols; DO="command in the machine"
	@$(call vm_run,gdb) $(if $(DO),--do "$(DO)") $(if $(EARLY),--early)
vm-crash: deps-vm ## crash a machine's kernel and read the oops: HOW=null, bug or panic
	@$(call vm_run,crash) $(HOW)
vm-lint: deps-vm ## sparse and checkpatch.pl over all that is built into modules
	@$(call vm_run,lint)
lab-%: deps-vm ## plant the bug of a kernel lab in a copy, and see the lab kernel catch it: make lab-1
	@$(call vm_run,lab) $*

# The kernel half of make sprint-N: its module in a machine, where there is QEMU.
vm_qemu_amd64 := qemu-system-x86_64
vm_qemu_arm64 := qemu-system-aarch64
vm_engine_1   := array
vm_engine_2   := hash
vm_engine_3   := btree
vm_engine_4   := lsm
vm-sprint-%:
	@if ! command -v $(or $(vm_qemu_$(ARCH)),qemu) >/dev/null; then \
		echo "The kernel half is left out, for there is no QEMU here: make vm-test installs it."; \
	elif ! $(MAKE) --silent vm-build; then \
		echo "The kernel half is left out, for its module could not be built: make vm-build says why."; \
	else \
		$(MAKE) --silent vm-test TESTS=device ENGINES=$(vm_engine_$*); \
	fi

# A sprint's modules on this machine itself: make -C sprint-1-core-memory kernel load
vm_sprints := $(patsubst %/kernel,%,$(wildcard sprint-*/kernel))
$(foreach what,kernel load unload,$(vm_sprints:%=%/$(what))):
	@BUILD=$(BUILD) vm/installed.sh $(@F) $(@D)
.PHONY: $(foreach what,kernel load unload,$(vm_sprints:%=%/$(what)))

.PHONY: vm-build vm-test vm-ci vm-bench vm-shell vm-gdb vm-crash vm-lint
