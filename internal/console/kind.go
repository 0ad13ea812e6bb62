package console

// A Kind is what sort of fault a complaint tells of. The words are those that
// kernel developers know from syzbot, so that reports can be compared.
type Kind string

// The kinds. Those of the sanitizers carry what the sanitizer found.
const (
	KASANUseAfterFreeRead  Kind = "KASAN-USE-AFTER-FREE-READ"
	KASANUseAfterFreeWrite Kind = "KASAN-USE-AFTER-FREE-WRITE"
	KASANInvalidFree       Kind = "KASAN-INVALID-FREE"
	KASANNullRead          Kind = "KASAN-NULL-POINTER-DEREFERENCE-READ"
	KASANNullWrite         Kind = "KASAN-NULL-POINTER-DEREFERENCE-WRITE"
	KASANRead              Kind = "KASAN-READ"
	KASANWrite             Kind = "KASAN-WRITE"
	KASANUnknown           Kind = "KASAN-UNKNOWN"

	KFENCEUseAfterFreeRead  Kind = "KFENCE-USE-AFTER-FREE-READ"
	KFENCEUseAfterFreeWrite Kind = "KFENCE-USE-AFTER-FREE-WRITE"
	KFENCEInvalidFree       Kind = "KFENCE-INVALID-FREE"
	KFENCECorruption        Kind = "KFENCE-MEMORY-CORRUPTION"
	KFENCERead              Kind = "KFENCE-READ"
	KFENCEWrite             Kind = "KFENCE-WRITE"
	KFENCEUnknown           Kind = "KFENCE-UNKNOWN"

	KMSANInfoLeak         Kind = "KMSAN-INFO-LEAK"
	KMSANUninit           Kind = "KMSAN-UNINIT-VALUE"
	KMSANUseAfterFreeRead Kind = "KMSAN-USE-AFTER-FREE-READ"
	KMSANUnknown          Kind = "KMSAN-UNKNOWN"

	KCSANDataRace Kind = "KCSAN-DATARACE"
	KCSANAssert   Kind = "KCSAN-ASSERT"
	KCSANUnknown  Kind = "KCSAN-UNKNOWN"

	UBSAN       Kind = "UBSAN"
	UBSANMemory Kind = "MEMORY_SAFETY_UBSAN" // an index out of bounds

	NullDereference Kind = "NULL-POINTER-DEREFERENCE"
	MemorySafety    Kind = "MEMORY_SAFETY_BUG" // a bad address, a corrupted list
	Bug             Kind = "BUG"
	Warning         Kind = "WARNING"
	Refcount        Kind = "REFCOUNT_WARNING"
	Lockdep         Kind = "LOCKDEP"
	AtomicSleep     Kind = "ATOMIC_SLEEP"
	Hang            Kind = "HANG" // nothing moves: tasks, CPUs, RCU
	Leak            Kind = "LEAK"
	Fatal           Kind = "DoS"         // the kernel stopped: an exception, a panic
	Reboot          Kind = "REBOOT"      // the machine started again without a word
	Driver          Kind = "SYZ_FAILURE" // the program that drives the tests gave up
	Unknown         Kind = "UNKNOWN"
)

// A Fault says more exactly than Kind what happened.
type Fault string

// The faults.
const (
	FaultKASAN       Fault = "kasan"
	FaultKFENCE      Fault = "kfence"
	FaultKMSAN       Fault = "kmsan"
	FaultKCSAN       Fault = "kcsan"
	FaultUBSAN       Fault = "ubsan"
	FaultNull        Fault = "null-dereference"
	FaultPage        Fault = "page-fault"
	FaultProtection  Fault = "general-protection-fault"
	FaultException   Fault = "exception" // divide error, double fault, invalid opcode
	FaultBug         Fault = "bug"
	FaultWarning     Fault = "warning"
	FaultRefcount    Fault = "refcount"
	FaultODEBUG      Fault = "debug-object"
	FaultDeadlock    Fault = "deadlock"
	FaultLockState   Fault = "lock-state" // inconsistent use, bad unlock, held too long
	FaultRCUUsage    Fault = "rcu-usage"
	FaultLockdep     Fault = "lockdep" // its own trouble: a key, a table that is full
	FaultAtomicSleep Fault = "atomic-sleep"
	FaultPreemption  Fault = "preemptible" // per-CPU data used in preemptible code
	FaultHungTask    Fault = "hung-task"
	FaultSoftLockup  Fault = "soft-lockup"
	FaultHardLockup  Fault = "hard-lockup"
	FaultSpinlock    Fault = "spinlock"
	FaultWorkqueue   Fault = "workqueue"
	FaultRCUStall    Fault = "rcu-stall"
	FaultLeak        Fault = "memory-leak"
	FaultOOM         Fault = "out-of-memory"
	FaultList        Fault = "corrupted-list"
	FaultStack       Fault = "corrupted-stack"
	FaultUsercopy    Fault = "usercopy"
	FaultSlab        Fault = "slab"
	FaultPageState   Fault = "bad-page"
	FaultPanic       Fault = "panic"      // without an oops
	FaultBootPanic   Fault = "boot-panic" // before or while init is started
	FaultReset       Fault = "unexpected-reset"
	FaultTaint       Fault = "taint" // nothing but the kernel's own mark
	FaultOther       Fault = "other"
)
