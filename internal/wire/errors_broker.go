package wire

import "fmt"

// The errors of io.brokerd.Broker. format and args make the message: one
// sentence that says what was wrong, where, and what to do.

// RingNotFoundParameters are the parameters of RingNotFound.
type RingNotFoundParameters struct {
	Message string `json:"message"`
	Name    string `json:"name"`
}

// RingNotFound says that no ring has that name.
func RingNotFound(name, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrRingNotFound, message, RingNotFoundParameters{message, name})
}

// RingExistsParameters are the parameters of RingExists.
type RingExistsParameters struct {
	Message string `json:"message"`
	Name    string `json:"name"`
}

// RingExists says that a ring of that name is there already.
func RingExists(name, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrRingExists, message, RingExistsParameters{message, name})
}

// RingInUseParameters are the parameters of RingInUse.
type RingInUseParameters struct {
	Message     string `json:"message"`
	Name        string `json:"name"`
	Attachments int    `json:"attachments"`
}

// RingInUse says that a ring cannot be removed while attachments hold it.
func RingInUse(name string, attachments int, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrRingInUse, message, RingInUseParameters{message, name, attachments})
}

// EpochChangedParameters are the parameters of EpochChanged.
type EpochChangedParameters struct {
	Message string `json:"message"`
	Name    string `json:"name"`
	Wanted  uint64 `json:"wanted"`
	Current uint64 `json:"current"`
}

// EpochChanged says that the ring was made anew since the caller last saw it.
func EpochChanged(name string, wanted, current uint64, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrEpochChanged, message, EpochChangedParameters{message, name, wanted, current})
}

// AttachmentNotFoundParameters are the parameters of AttachmentNotFound.
type AttachmentNotFoundParameters struct {
	Message string `json:"message"`
	ID      string `json:"id"`
}

// AttachmentNotFound says that no attachment has that id.
func AttachmentNotFound(id, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrAttachmentNotFound, message, AttachmentNotFoundParameters{message, id})
}

// SlotsExhaustedParameters are the parameters of SlotsExhausted.
type SlotsExhaustedParameters struct {
	Message string `json:"message"`
	Name    string `json:"name"`
	Role    Role   `json:"role"`
	Max     int    `json:"max"`
}

// SlotsExhausted says that all slots of a role are taken.
func SlotsExhausted(name string, role Role, max int, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrSlotsExhausted, message, SlotsExhaustedParameters{message, name, role, max})
}

// ProducerPresentParameters are the parameters of ProducerPresent.
type ProducerPresentParameters struct {
	Message string `json:"message"`
	Name    string `json:"name"`
	PID     int    `json:"pid"`
}

// ProducerPresent says that a ring of one producer has one, the process pid.
func ProducerPresent(name string, pid int, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrProducerPresent, message, ProducerPresentParameters{message, name, pid})
}

// LimitExceededParameters are the parameters of LimitExceeded.
type LimitExceededParameters struct {
	Message string `json:"message"`
	Limit   string `json:"limit"`
	Used    uint64 `json:"used"`
	Wanted  uint64 `json:"wanted"`
	Max     uint64 `json:"max"`
}

// LimitExceeded says that a limit of the daemon would be exceeded.
func LimitExceeded(limit string, used, wanted, max uint64, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrLimitExceeded, message, LimitExceededParameters{message, limit, used, wanted, max})
}

// NoSpaceParameters are the parameters of NoSpace.
type NoSpaceParameters struct {
	Message     string `json:"message"`
	Dir         string `json:"dir"`
	WantedBytes uint64 `json:"wanted_bytes"`
	FreeBytes   uint64 `json:"free_bytes"`
}

// NoSpace says that the file system of dir is too full; sizes are bytes.
func NoSpace(dir string, wanted, free uint64, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrNoSpace, message, NoSpaceParameters{message, dir, wanted, free})
}

// AccessDeniedParameters are the parameters of AccessDenied.
type AccessDeniedParameters struct {
	Message string `json:"message"`
	Rule    string `json:"rule"`
}

// AccessDenied says that a rule does not let the caller do that.
func AccessDenied(rule, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrAccessDenied, message, AccessDeniedParameters{message, rule})
}

// InvalidRingParameters are the parameters of InvalidRing.
type InvalidRingParameters struct {
	Message string `json:"message"`
	Key     string `json:"key"`
}

// InvalidRing says that a key of a ring has a value that cannot be.
func InvalidRing(key, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrInvalidRing, message, InvalidRingParameters{message, key})
}

// InvalidConfigParameters are the parameters of InvalidConfig.
type InvalidConfigParameters struct {
	Message string `json:"message"`
	File    string `json:"file"`
}

// InvalidConfig says that the configuration file has errors, and that nothing
// was changed.
func InvalidConfig(file, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrInvalidConfig, message, InvalidConfigParameters{message, file})
}

// CursorInUseParameters are the parameters of CursorInUse.
type CursorInUseParameters struct {
	Message string `json:"message"`
	Name    string `json:"name"`
	PID     int    `json:"pid"`
}

// CursorInUse says that a cursor cannot be resumed: the process that reads with
// it still lives.
func CursorInUse(name string, pid int, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrCursorInUse, message, CursorInUseParameters{message, name, pid})
}

// NotReadyParameters are the parameters of NotReady.
type NotReadyParameters struct {
	Message string `json:"message"`
	State   string `json:"state"`
}

// NotReady says that the daemon starts or drains.
func NotReady(state DaemonState, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrNotReady, message, NotReadyParameters{message, string(state)})
}

// RingCorruptParameters are the parameters of RingCorrupt.
type RingCorruptParameters struct {
	Message string `json:"message"`
	Name    string `json:"name"`
}

// RingCorrupt says that the memory of a ring cannot be trusted any more.
func RingCorrupt(name, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrRingCorrupt, message, RingCorruptParameters{message, name})
}

// FailedParameters are the parameters of Failed.
type FailedParameters struct {
	Message string `json:"message"`
}

// Failed says that something broke that is neither the caller's fault nor a limit.
func Failed(format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrFailed, message, FailedParameters{message})
}
