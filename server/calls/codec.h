// Messages <-> bytes on the wire. The services take raw bytes from gRPC, so that a malformed
// request gets an error with details like any other, and a reply that no client would take is
// refused with a reason.
#ifndef HEED_SERVER_CALLS_CODEC_H_
#define HEED_SERVER_CALLS_CODEC_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"

namespace heed {

// INVALID_ARGUMENT: INVALID_FIELD naming the field when a text is not UTF-8, MALFORMED_REQUEST when
// the bytes are not such a message.
absl::Status ParseRequest(const grpc::ByteBuffer& bytes, google::protobuf::Message* request);

// RESOURCE_EXHAUSTED (REPLY_TOO_LARGE).
absl::StatusOr<grpc::ByteBuffer> SerializeReply(const google::protobuf::Message& reply);

}  // namespace heed

#endif  // HEED_SERVER_CALLS_CODEC_H_
