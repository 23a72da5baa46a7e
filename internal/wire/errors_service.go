package wire

import "fmt"

// The errors of org.varlink.service. The standard gives them no message; an
// operator needs one, and clients skip members that they do not know, so one is
// sent along.

// InterfaceNotFoundParameters are the parameters of InterfaceNotFound.
type InterfaceNotFoundParameters struct {
	Message   string `json:"message"`
	Interface string `json:"interface"`
}

// InterfaceNotFound says that the service has no such interface.
func InterfaceNotFound(iface, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrInterfaceNotFound, message, InterfaceNotFoundParameters{message, iface})
}

// MethodNotFoundParameters are the parameters of MethodNotFound.
type MethodNotFoundParameters struct {
	Message string `json:"message"`
	Method  string `json:"method"`
}

// MethodNotFound says that the interface has no such method.
func MethodNotFound(method, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrMethodNotFound, message, MethodNotFoundParameters{message, method})
}

// MethodNotImplementedParameters are the parameters of MethodNotImplemented.
type MethodNotImplementedParameters struct {
	Message string `json:"message"`
	Method  string `json:"method"`
}

// MethodNotImplemented says that the interface has the method, the service
// does not.
func MethodNotImplemented(method, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrMethodNotImplemented, message, MethodNotImplementedParameters{message, method})
}

// InvalidParameterParameters are the parameters of InvalidParameter.
type InvalidParameterParameters struct {
	Message   string `json:"message"`
	Parameter string `json:"parameter"`
}

// InvalidParameter says that a parameter is missing, unknown or of a wrong
// shape; a member of a parameter is given by its path, such as
// ring.allow.gate.users[0].
func InvalidParameter(parameter, format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrInvalidParameter, message, InvalidParameterParameters{message, parameter})
}

// PermissionDeniedParameters are the parameters of PermissionDenied.
type PermissionDeniedParameters struct {
	Message string `json:"message"`
}

// PermissionDenied says that the caller may not do that.
func PermissionDenied(format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrPermissionDenied, message, PermissionDeniedParameters{message})
}

// ExpectedMoreParameters are the parameters of ExpectedMore.
type ExpectedMoreParameters struct {
	Message string `json:"message"`
}

// ExpectedMore says that the method wants to be called with more.
func ExpectedMore(format string, args ...any) *Error {
	message := fmt.Sprintf(format, args...)
	return newError(ErrExpectedMore, message, ExpectedMoreParameters{message})
}
