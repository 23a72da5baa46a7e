package crash

import "syscall"

// call is the system call that a stopped thread is about to make.
func call(r *syscall.PtraceRegs) (number uint64, args [6]uint64) {
	return r.Regs[8], [6]uint64(r.Regs[:6])
}
