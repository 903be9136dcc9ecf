#include "server/calls/codec.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "server/convert/reply_size.h"
#include "server/convert/violations.h"

namespace heed {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string PathOf(absl::string_view parent, const FieldDescriptor& field, int index) {
  const std::string path = parent.empty() ? field.name() : absl::StrCat(parent, ".", field.name());
  return field.is_repeated() ? Element(path, index) : path;
}

void FindBadTexts(const Message& message, absl::string_view path, Violations* violations);

void FindBadTextsInField(const Message& message, const FieldDescriptor& field,
                         absl::string_view path, Violations* violations) {
  const Reflection& reflection = *message.GetReflection();
  const bool is_text = field.type() == FieldDescriptor::TYPE_STRING;
  if (field.is_map() || (!is_text && field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)) return;
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    const std::string element = PathOf(path, field, i);
    if (is_text) {
      const std::string text = field.is_repeated()
                                   ? reflection.GetRepeatedString(message, &field, i)
                                   : reflection.GetString(message, &field);
      if (!IsValidUtf8(text)) violations->Add(element, "is not well-formed UTF-8");
    } else {
      FindBadTexts(field.is_repeated() ? reflection.GetRepeatedMessage(message, &field, i)
                                       : reflection.GetMessage(message, &field),
                   element, violations);
    }
  }
}

// Recursion is bounded by the depth of the request's own message types.
void FindBadTexts(const Message& message, absl::string_view path, Violations* violations) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    FindBadTextsInField(message, *field, path, violations);
  }
}

}  // namespace

absl::Status ParseRequest(const grpc::ByteBuffer& bytes, Message* request) {
  grpc::ByteBuffer shared =
      bytes;  // the reader wants a mutable one; the data is shared, not copied
  grpc::ProtoBufferReader reader(&shared);
  if (reader.status().ok() && request->ParseFromZeroCopyStream(&reader) && reader.status().ok()) {
    return absl::OkStatus();
  }
  // Protobuf refuses texts that are not UTF-8 but has stored them by then, so that the field can be
  // named.
  Violations violations;
  FindBadTexts(*request, "", &violations);
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  return MakeError(absl::StatusCode::kInvalidArgument, "MALFORMED_REQUEST",
                   absl::StrCat("the request is not a ", request->GetTypeName(),
                                " message: its bytes are damaged or of another type"));
}

absl::StatusOr<grpc::ByteBuffer> SerializeReply(const Message& reply) {
  HEED_RETURN_IF_ERROR(CheckReplyBytes(static_cast<int64_t>(reply.ByteSizeLong())));
  grpc::ByteBuffer bytes;
  bool own_buffer = false;
  const grpc::Status status =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, Message>(reply, &bytes, &own_buffer);
  if (!status.ok()) {
    return MakeError(absl::StatusCode::kInternal, "UNSERIALIZABLE_REPLY",
                     "the answer could not be serialised");
  }
  return bytes;
}

}  // namespace heed
