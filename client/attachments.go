package client

import (
	"context"

	"brokerd/internal/wire"
)

// Attachments lists the attachments of a ring, "" for those of all rings.
// Errors: ErrRingNotFound; ErrUnreachable.
func (c *Client) Attachments(ctx context.Context, ring string) ([]Attachment, error) {
	var out wire.ListAttachmentsOut
	err := c.query(ctx, wire.MethodListAttachments, wire.ListAttachmentsIn{Ring: ring}, &out)
	return out.Attachments, err
}

// Detach ends an attachment: one of this process, or any for administrators.
// Its Producer or Consumer gets ErrDetached. Errors: ErrAttachmentNotFound,
// ErrAccessDenied; ErrUnreachable.
func (c *Client) Detach(ctx context.Context, id string) error {
	return c.call(ctx, wire.MethodDetach, wire.DetachIn{ID: id}, &wire.DetachOut{})
}
