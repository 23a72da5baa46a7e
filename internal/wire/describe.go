package wire

import _ "embed" // for the description

// Names of the interfaces that brokerd serves.
const (
	Interface        = "io.brokerd.Broker"
	ServiceInterface = "org.varlink.service"
)

// Description is the text of the interface io.brokerd.Broker.
//
//go:embed io.brokerd.Broker.varlink
var Description string

// Full names of the methods, as they stand in a call.
const (
	MethodCreateRing      = Interface + ".CreateRing"
	MethodRemoveRing      = Interface + ".RemoveRing"
	MethodListRings       = Interface + ".ListRings"
	MethodDescribeRing    = Interface + ".DescribeRing"
	MethodAttach          = Interface + ".Attach"
	MethodDetach          = Interface + ".Detach"
	MethodListAttachments = Interface + ".ListAttachments"
	MethodStats           = Interface + ".Stats"
	MethodListLinks       = Interface + ".ListLinks"
	MethodReload          = Interface + ".Reload"
	MethodCollectGarbage  = Interface + ".CollectGarbage"
	MethodGetStatus       = Interface + ".GetStatus"

	MethodGetInfo                 = ServiceInterface + ".GetInfo"
	MethodGetInterfaceDescription = ServiceInterface + ".GetInterfaceDescription"
)

// ServiceDescription is the text of the interface org.varlink.service, as the
// varlink standard gives it.
const ServiceDescription = `# The Varlink Service Interface is provided by every varlink service. It
# describes the service and the interfaces it implements.
interface org.varlink.service

# Get a list of all the interfaces a service provides and information
# about the implementation.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# Get the description of an interface that is implemented by this service.
method GetInterfaceDescription(interface: string) -> (description: string)

# The requested interface was not found.
error InterfaceNotFound (interface: string)

# The requested method was not found
error MethodNotFound (method: string)

# The interface defines the requested method, but the service does not
# implement it.
error MethodNotImplemented (method: string)

# One of the passed parameters is invalid.
error InvalidParameter (parameter: string)

# Client is denied access
error PermissionDenied ()

# Method is expected to be called with 'more' set to true, but wasn't
error ExpectedMore ()
`
