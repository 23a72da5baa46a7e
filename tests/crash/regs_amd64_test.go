package crash

import "syscall"

// call is the system call that a stopped thread is about to make.
func call(r *syscall.PtraceRegs) (number uint64, args [6]uint64) {
	return r.Orig_rax, [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}
}
