/* The control socket: varlink over AF_UNIX, with file descriptors (docs/PROTOCOL.md). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cclient.h"

enum { FDS_MAX = 65, REPLY_BYTES_MAX = 16 << 20, CALL_BYTES_MAX = 65536, EXIT_REFUSED = 4 };

/* A message as it came: JSON that ends with a NUL, and descriptors. */
struct reply { char *text; int fds[FDS_MAX]; unsigned fds_count; };

int control_dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int conn = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof address.sun_path)
		fail("--socket %s: the path is too long, %zu bytes at most", path, sizeof address.sun_path - 1);
	strcpy(address.sun_path, path);
	if (conn < 0 || connect(conn, (struct sockaddr *)&address, sizeof address) < 0)
		fail("connect to %s: %s", path, strerror(errno));
	return conn;
}

/* Steps over blanks. */
static const char *blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Returns what follows the string that begins at p. */
static const char *after_string(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	if (*p != '"')
		fail("the daemon's reply ends inside a string");
	return p + 1;
}

/* Returns what follows the value that begins at p. */
static const char *after_value(const char *p)
{
	int depth = 0;

	do {
		if (*p == '"') {
			p = after_string(p);
		} else if (*p == '{' || *p == '[') {
			depth++, p++;
		} else if (*p == '}' || *p == ']') {
			depth--, p++;
		} else if (*p == '\0') {
			fail("the daemon's reply ends inside a value");
		} else if (depth > 0) {
			p++;
		} else {
			p += strcspn(p, ",]} \t\r\n");
		}
	} while (depth > 0);
	return blanks(p);
}

/* Returns the value of a member of the object at p, NULL if there is none. */
static const char *member(const char *p, const char *name)
{
	size_t n = strlen(name);

	if (!p || *p != '{')
		return NULL;
	for (p = blanks(p + 1); *p == '"'; p = blanks(p + 1)) {
		const char *key = p + 1, *end = after_string(p), *value = blanks(end);
		if (*value != ':')
			break;
		value = blanks(value + 1);
		if ((size_t)(end - 1 - key) == n && !memcmp(key, name, n))
			return value;
		p = after_value(value);
		if (*p != ',')
			break;
	}
	return NULL;
}

static uint64_t number(const char *value, const char *what)
{
	char *end;
	unsigned long long n = value ? strtoull(value, &end, 10) : 0;

	if (!value || end == value)
		fail("the daemon's reply has no number %s", what);
	return n;
}

/* Copies a string without escapes, which ids and words are. */
static void word(const char *value, char *to, size_t size, const char *what)
{
	size_t n = value && *value == '"' ? strcspn(value + 1, "\"\\") : size;

	if (n >= size)
		fail("the daemon's reply has no word %s", what);
	memcpy(to, value + 1, n);
	to[n] = '\0';
}

static void keep_fds(struct reply *r, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		unsigned n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > FDS_MAX - r->fds_count)
			fail("the daemon sent more than %d descriptors", FDS_MAX);
		memcpy(r->fds + r->fds_count, CMSG_DATA(c), n * sizeof(int));
		r->fds_count += n;
	}
	if (m->msg_flags & MSG_CTRUNC)
		fail("descriptors were lost (MSG_CTRUNC): is the limit of open files too low?");
}

/* Reads one reply. There is never a second one on its way: one call at a time. */
static struct reply receive(int conn)
{
	struct reply r = { .text = NULL };
	size_t have = 0, size = 0;
	union { char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))]; struct cmsghdr aligned; } control;

	do {
		if (have == size) {
			size = size ? 2 * size : 65536;
			if (size > 2 * REPLY_BYTES_MAX || !(r.text = realloc(r.text, size)))
				fail("the daemon's reply has more than %d bytes", REPLY_BYTES_MAX);
		}
		struct iovec part = { r.text + have, size - have };
		struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1,
			.msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
		ssize_t n = recvmsg(conn, &m, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("the daemon closed the connection: %s", n ? strerror(errno) : "end of file");
		keep_fds(&r, &m);
		have += (size_t)n;
	} while (!have || r.text[have - 1] != '\0');
	return r;
}

/* Sends a call and waits for its reply. A refusal ends the process. */
static struct reply call(int conn, const char *method, const char *parameters)
{
	char text[CALL_BYTES_MAX];
	int n = snprintf(text, sizeof text, "{\"method\":\"io.brokerd.Broker.%s\",\"parameters\":%s}", method, parameters);

	if (n < 0 || (size_t)n >= sizeof text)
		fail("the call %s is too long", method);
	for (int sent = 0; sent <= n;) { /* its NUL, too */
		ssize_t k = send(conn, text + sent, (size_t)(n + 1 - sent), MSG_NOSIGNAL);
		if (k < 0 && errno != EINTR)
			break; /* a reply that says why may be there all the same */
		sent += k > 0 ? (int)k : 0;
	}
	struct reply r = receive(conn);
	const char *top = blanks(r.text), *error = member(top, "error");
	if (error) {
		const char *message = member(member(top, "parameters"), "message");
		fprintf(stderr, "cclient: %s refused: %.*s: %.*s\n", method, (int)(after_value(error) - error), error,
			message ? (int)(after_value(message) - message) : 0, message ? message : "");
		exit(EXIT_REFUSED);
	}
	return r;
}

static int fd_of(const struct reply *r, const char *index)
{
	uint64_t n = number(index, "of a file");

	if (n >= r->fds_count)
		fail("the reply names descriptor %llu, %u came", (unsigned long long)n, r->fds_count);
	return r->fds[n];
}

/* Attaches. parameters is the JSON object of the call. */
void control_attach(int conn, const char *parameters, struct lent *out)
{
	struct reply r = call(conn, "Attach", parameters);
	const char *reply = member(blanks(r.text), "parameters"), *attachment = member(reply, "attachment");
	const char *files = member(reply, "files"), *cursors = member(files, "cursors");
	const char *policy = member(attachment, "policy");

	memset(out, 0, sizeof *out);
	word(member(attachment, "id"), out->id, sizeof out->id, "attachment.id");
	if (policy && *policy == '"') /* a producer has none */
		word(policy, out->policy, sizeof out->policy, "attachment.policy");
	out->slot = (unsigned)number(member(attachment, "slot"), "attachment.slot");
	out->generation = (uint32_t)number(member(attachment, "generation"), "attachment.generation");
	out->epoch = number(member(member(reply, "ring"), "epoch"), "ring.epoch");
	out->data = fd_of(&r, member(files, "data"));
	if (!cursors || *cursors != '[')
		fail("the daemon's reply has no list files.cursors");
	for (cursors = blanks(cursors + 1); *cursors && *cursors != ']';) {
		if (out->cursors_count == SLOTS_MAX)
			fail("the reply lends more than %d cursor pages", SLOTS_MAX);
		out->cursors[out->cursors_count++] = fd_of(&r, cursors);
		cursors = after_value(cursors);
		cursors = blanks(cursors + (*cursors == ','));
	}
	free(r.text);
}

/* Detaches: from here on nothing that was lent may be touched. */
void control_detach(int conn, const char *id)
{
	char parameters[256];

	snprintf(parameters, sizeof parameters, "{\"id\":\"%s\"}", id);
	free(call(conn, "Detach", parameters).text);
}
