/* Messages of 64 bytes over ZeroMQ PUSH and PULL on tcp, one by one: "receive COUNT" prints where it
 * listens and then millions of messages a second, "send COUNT ENDPOINT" feeds it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
	exit(1);
}

static double now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	long count = atol(argv[2]);
	char message[64] = {0};
	void *context = zmq_ctx_new();
	if (strcmp(argv[1], "receive") == 0) {
		void *socket = zmq_socket(context, ZMQ_PULL);
		char endpoint[256];
		size_t size = sizeof endpoint;
		if (zmq_bind(socket, "tcp://127.0.0.1:*") || zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size))
			fail("bind");
		printf("ready %s\n", endpoint);
		fflush(stdout);
		double begin = 0;
		for (long i = 0; i < count; i++) {
			if (zmq_recv(socket, message, sizeof message, 0) != sizeof message)
				fail("receive");
			if (i == 0)
				begin = now_us();
		}
		printf("{\"figure\": %f}\n", (count - 1) / (now_us() - begin));
		zmq_close(socket);
	} else {
		void *socket = zmq_socket(context, ZMQ_PUSH);
		if (argc < 4 || zmq_connect(socket, argv[3]))
			fail("connect");
		printf("ready\n");
		fflush(stdout);
		for (long i = 0; i < count; i++)
			if (zmq_send(socket, message, sizeof message, 0) != sizeof message)
				fail("send");
		zmq_close(socket);
		zmq_ctx_term(context);
		printf("{\"figure\": 0}\n");
		return 0;
	}
	zmq_ctx_term(context);
	return 0;
}
