/* SPDX-License-Identifier: MIT */
/* LLVM's side of tier 2 that does not depend on what is compiled: context, machine, passes, object code. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include <link.h>
#include <llvm-c/Error.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "jit/llvm_gen.h"

/*
 * What pays, measured (README-tier2.md): registers out of their variables, common subexpressions and store-to-load
 * forwarding, peepholes, and clean-up.  In loops also what does not change: probe tags of fixed addresses.
 */
#define PASSES "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg)"
#define PASSES_LOOP                                                                                                    \
	"function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),early-cse,"       \
	"simplifycfg)"

static void init_x86(void)
{
	/*
	 * Loop strength reduction takes an eighth of the code generator's time, finds nothing in loops of probes but
	 * second counters, and makes the code a tenth larger.  There is no other way to turn it off.
	 */
	static const char *const options[] = {"disco", "-disable-lsr"};

	LLVMParseCommandLineOptions(ARRAY_LEN(options), options, "");
	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86Target();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86AsmPrinter();
	LLVMInitializeX86AsmParser(); /* llvm_fpu.c has inline assembly */
}

static bool init_machine(struct llvm_unit *u)
{
	/* LLVM's own registry of targets is process-wide; this only guards filling it. */
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	LLVMTargetRef target;
	char *cpu, *features, *error = NULL;

	pthread_once(&once, init_x86);
	u->triple = LLVMGetDefaultTargetTriple();
	if (LLVMGetTargetFromTriple(u->triple, &target, &error)) {
		LLVMDisposeMessage(error);
		return false;
	}
	cpu = LLVMGetHostCPUName();
	features = LLVMGetHostCPUFeatures();
	/* PIC and small: everything is named rip-relative, so the code runs wherever it is placed. */
	u->machine = LLVMCreateTargetMachine(target, u->triple, cpu, features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
					     LLVMCodeModelSmall);
	LLVMDisposeMessage(cpu);
	LLVMDisposeMessage(features);
	if (!u->machine)
		return false;
	u->layout = LLVMCreateTargetDataLayout(u->machine);
	return true;
}

static void init_types(struct llvm_unit *u)
{
	LLVMTypeRef args[2 + 32];
	unsigned n = 0;

	u->i1 = LLVMInt1TypeInContext(u->ctx);
	u->i8 = LLVMInt8TypeInContext(u->ctx);
	u->i16 = LLVMInt16TypeInContext(u->ctx);
	u->i32 = LLVMInt32TypeInContext(u->ctx);
	u->i64 = LLVMInt64TypeInContext(u->ctx);
	u->f32 = LLVMFloatTypeInContext(u->ctx);
	u->f64 = LLVMDoubleTypeInContext(u->ctx);
	u->ptr = LLVMPointerTypeInContext(u->ctx, 0);
	u->void_ty = LLVMVoidTypeInContext(u->ctx);
#define PIN(host, what) args[n++] = (what) < 0 ? u->ptr : u->i64;
#include "jit/regs.def"
#undef PIN
	u->fn_ty = LLVMFunctionType(u->void_ty, args, n, false);
	u->helper_ty = LLVMFunctionType(u->i64, (LLVMTypeRef[]){u->ptr, u->i64, u->i64, u->i64}, 4, false);
}

static LLVMMetadataRef md_string(struct llvm_unit *u, const char *s)
{
	return LLVMMDStringInContext2(u->ctx, s, strlen(s));
}

static LLVMMetadataRef md_int(LLVMTypeRef ty, uint64_t v) { return LLVMValueAsMetadata(LLVMConstInt(ty, v, false)); }

/* Scalar type nodes below one root, and an access tag for each: different kinds never alias. */
static void init_metadata(struct llvm_unit *u)
{
	static const char *const names[NUM_MEM_CLASSES] = {"guest memory", "guest_state", "l2tlb", "link"};
	LLVMMetadataRef root_name = md_string(u, "disco"), root = LLVMMDNodeInContext2(u->ctx, &root_name, 1);

	u->md_tbaa = LLVMGetMDKindIDInContext(u->ctx, "tbaa", 4);
	u->md_prof = LLVMGetMDKindIDInContext(u->ctx, "prof", 4);
	for (unsigned i = 0; i < NUM_MEM_CLASSES; i++) {
		LLVMMetadataRef type[3] = {md_string(u, names[i]), root, md_int(u->i64, 0)};
		LLVMMetadataRef node = LLVMMDNodeInContext2(u->ctx, type, 3);
		LLVMMetadataRef tag[3] = {node, node, md_int(u->i64, 0)};

		u->alias[i] = LLVMMetadataAsValue(u->ctx, LLVMMDNodeInContext2(u->ctx, tag, 3));
	}
	LLVMMetadataRef weights[3] = {md_string(u, "branch_weights"), md_int(u->i32, 1), md_int(u->i32, 1 << 20)};
	u->cold = LLVMMetadataAsValue(u->ctx, LLVMMDNodeInContext2(u->ctx, weights, 3));
}

/* Without a handler LLVM ends the process on errors such as "ran out of registers". */
static void on_diagnostic(LLVMDiagnosticInfoRef info, void *ctx)
{
	struct llvm_unit *u = ctx;

	if (LLVMGetDiagInfoSeverity(info) == LLVMDSError)
		u->failed = true;
}

bool llvm_unit_init(struct llvm_unit *u)
{
	memset(u, 0, sizeof(*u));
	u->ctx = LLVMContextCreate();
	LLVMContextSetDiagnosticHandler(u->ctx, on_diagnostic, u);
	if (!init_machine(u)) {
		llvm_unit_fini(u);
		return false;
	}
	init_types(u);
	init_metadata(u);
	return true;
}

void llvm_unit_fini(struct llvm_unit *u)
{
	if (u->layout)
		LLVMDisposeTargetData(u->layout);
	if (u->machine)
		LLVMDisposeTargetMachine(u->machine);
	if (u->triple)
		LLVMDisposeMessage(u->triple);
	if (u->ctx)
		LLVMContextDispose(u->ctx);
	memset(u, 0, sizeof(*u));
}

/* The object of the process that has the address *data in it: its pages that are as in the file are not mapped any more. */
static int give_object_back(struct dl_phdr_info *object, size_t bytes, void *data)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), within = (uintptr_t)data - object->dlpi_addr;
	bool is = false;

	(void)bytes;
	for (unsigned i = 0; i < object->dlpi_phnum; i++)
		is |= object->dlpi_phdr[i].p_type == PT_LOAD &&
		      within - object->dlpi_phdr[i].p_vaddr < object->dlpi_phdr[i].p_memsz;
	for (unsigned i = 0; is && i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &object->dlpi_phdr[i];
		uintptr_t from = (object->dlpi_addr + h->p_vaddr + page - 1) & ~(page - 1);
		uintptr_t to = (object->dlpi_addr + h->p_vaddr + h->p_memsz) & ~(page - 1);

		if (h->p_type == PT_LOAD && !(h->p_flags & PF_W) && from < to)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return is;
}

void llvm_give_pages_back(void) { (void)dl_iterate_phdr(give_object_back, (void *)(uintptr_t)LLVMContextCreate); }

LLVMModuleRef llvm_unit_module(struct llvm_unit *u)
{
	LLVMModuleRef m = LLVMModuleCreateWithNameInContext("region", u->ctx);

	LLVMSetTarget(m, u->triple);
	LLVMSetModuleDataLayout(m, u->layout);
	return m;
}

enum tier2_refusal llvm_unit_optimise(struct llvm_unit *u, LLVMModuleRef m, bool has_cycle)
{
	LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
	LLVMErrorRef error = LLVMRunPasses(m, has_cycle ? PASSES_LOOP : PASSES, u->machine, options);

	LLVMDisposePassBuilderOptions(options);
	if (error) {
		LLVMConsumeError(error);
		return TIER2_REFUSED_PASSES;
	}
	return TIER2_REFUSED_NONE;
}

LLVMMemoryBufferRef llvm_unit_object(struct llvm_unit *u, LLVMModuleRef m)
{
	LLVMMemoryBufferRef object = NULL;
	char *error = NULL;

	u->failed = false;
	if (LLVMTargetMachineEmitToMemoryBuffer(u->machine, m, LLVMObjectFile, &error, &object)) {
		LLVMDisposeMessage(error);
		return NULL;
	}
	if (u->failed) {
		LLVMDisposeMemoryBuffer(object);
		return NULL;
	}
	return object;
}

static const char *const stub_names[NUM_STUB_SYMS] = {
    [SYM_INDIRECT] = "stub_indirect",
    [SYM_RETURN] = "stub_return",
    [SYM_LEAVE] = "stub_leave",
    [SYM_RAISE] = "stub_raise",
    [SYM_FPU] = "stub_fpu",
    [SYM_EXIT + EXIT_LINK] = "exit_link",
    [SYM_EXIT + EXIT_INDIRECT] = "exit_indirect",
    [SYM_EXIT + EXIT_POLL] = "exit_poll",
    [SYM_EXIT + EXIT_BUDGET] = "exit_budget",
    [SYM_EXIT + EXIT_EXCEPTION] = "exit_exception",
    [SYM_EXIT + EXIT_PC_SET] = "exit_pc_set",
    [SYM_EXIT + EXIT_HOT] = "exit_hot",
    [SYM_EXIT + EXIT_SIDE] = "exit_side",
    [SYM_EXIT + EXIT_SMC] = "exit_smc",
};

const char *stub_sym_name(enum stub_sym s) { return stub_names[s]; }

const void *stub_sym_address(const struct jit_stubs *stubs, enum stub_sym s)
{
	switch ((unsigned)s) { /* exits have no names of their own */
	case SYM_INDIRECT:
		return stubs->indirect;
	case SYM_RETURN:
		return stubs->ret;
	case SYM_LEAVE:
		return stubs->leave;
	case SYM_RAISE:
		return stubs->raise;
	case SYM_EXIT + EXIT_SIDE:
		return stubs->side;
	case SYM_FPU:
		return stubs->fpu_tier2;
	default:
		return stubs->exit_with[s - SYM_EXIT];
	}
}
