# Machines for the kernel half, in QEMU: ARCH=amd64|arm64 KERNEL=stock|lab MACHINE=pc|virt|raspi3b
ARCH   ?= $(shell dpkg --print-architecture 2>/dev/null)
KERNEL ?= stock
vm_run  = BUILD=$(BUILD) vm/$(1).sh --arch $(ARCH) --kernel $(KERNEL) $(if $(MACHINE),--machine $(MACHINE))

vm-build: deps-vm ## fetch or build a kernel and build the modules for it: ARCH= KERNEL=stock|lab
	@BUILD=$(BUILD) vm/build_modules.sh --arch $(ARCH) --kernel $(KERNEL)
vm-test: deps-vm ## load the modules in a QEMU machine and run vm/tests in it
	@$(call vm_run,test) $(TESTS)
vm-shell: deps-vm ## a shell in a machine; SHARE=folder DISK=file
	@$(call vm_run,shell) $(if $(SHARE),--share $(SHARE)) $(if $(DISK),--disk $(DISK))

.PHONY: vm-build vm-test vm-shell
