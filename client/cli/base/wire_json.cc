#include "client/cli/base/wire_json.h"

#include <cstring>
#include <string>
#include <vector>

#include "client/cli/base/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "heed/v1/types.pb.h"

namespace heed::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

void WriteTensor(JsonWriter& json, const v1::Tensor& tensor) {
  json.BeginObject().Key("shape").BeginArray();
  for (int64_t size : tensor.shape()) json.Int(size);
  json.EndArray().Key("values").BeginArray();
  for (size_t at = 0; at + sizeof(float) <= tensor.data().size(); at += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, tensor.data().data() + at, sizeof(float));
    json.Float(value);
  }
  json.EndArray().EndObject();
}

// The key of a field: its name, and its unit where that does not say it.
std::string KeyOf(const FieldDescriptor* field) {
  const std::string& name = field->name();
  for (const char* in_nats : {"entropy", "kl", "kl_to_final", "head_divergence"}) {
    if (name == in_nats) return name + "_nats";
  }
  const bool is_timings =
      field->message_type() != nullptr && field->message_type() == v1::Timings::descriptor();
  return is_timings ? name + "_ms" : name;
}

// True when the message is one of those that are not written field by field.
bool WriteKnown(JsonWriter& json, const Message& message) {
  const std::string& name = message.GetDescriptor()->full_name();
  if (name == "heed.v1.Tensor") {
    WriteTensor(json, static_cast<const v1::Tensor&>(message));
  } else if (name == "google.protobuf.Duration") {
    const auto& duration = static_cast<const google::protobuf::Duration&>(message);
    json.Number(static_cast<double>(duration.seconds()) * 1e3 + duration.nanos() / 1e6);
  } else if (name == "google.protobuf.Timestamp") {
    json.Int(static_cast<const google::protobuf::Timestamp&>(message).seconds());
  } else {
    return false;
  }
  return true;
}

// The value of an enum: as json_parts.h writes it where that has the same field.
std::string ValueOf(const google::protobuf::EnumValueDescriptor* value) {
  if (value->type() != v1::Truncation_descriptor()) return value->name();
  return value->number() == v1::TRUNCATION_LEFT    ? Name(Truncation::kLeft)
         : value->number() == v1::TRUNCATION_RIGHT ? Name(Truncation::kRight)
                                                   : Name(Truncation::kRefuse);
}

// `index` -1: the field is not repeated.
void WriteValue(JsonWriter& json, const Message& message, const FieldDescriptor* field, int index) {
  const auto* r = message.GetReflection();
  const bool one = index < 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      json.Int(one ? r->GetInt32(message, field) : r->GetRepeatedInt32(message, field, index));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      json.Int(one ? r->GetInt64(message, field) : r->GetRepeatedInt64(message, field, index));
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      json.Number(one ? r->GetDouble(message, field) : r->GetRepeatedDouble(message, field, index));
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      json.Float(one ? r->GetFloat(message, field) : r->GetRepeatedFloat(message, field, index));
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      json.Bool(one ? r->GetBool(message, field) : r->GetRepeatedBool(message, field, index));
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      json.String(
          ValueOf(one ? r->GetEnum(message, field) : r->GetRepeatedEnum(message, field, index)));
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      WriteWireMessage(
          json, one ? r->GetMessage(message, field) : r->GetRepeatedMessage(message, field, index));
      break;
    default:
      json.String(one ? r->GetString(message, field) : r->GetRepeatedString(message, field, index));
      break;
  }
}

}  // namespace

void WriteWireMessage(JsonWriter& json, const Message& message) {
  if (WriteKnown(json, message)) return;
  json.BeginObject();
  WriteWireFields(json, message);
  json.EndObject();
}

void WriteWireFields(JsonWriter& json, const Message& message) {
  const auto* descriptor = message.GetDescriptor();
  const auto* reflection = message.GetReflection();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* const field = descriptor->field(i);
    if (field->type() == FieldDescriptor::TYPE_BYTES) continue;  // texts say the same
    if (field->is_repeated()) {
      const int size = reflection->FieldSize(message, field);
      if (size == 0) continue;
      json.Key(KeyOf(field)).BeginArray();
      for (int index = 0; index < size; ++index) WriteValue(json, message, field, index);
      json.EndArray();
    } else if (reflection->HasField(message, field) || !field->has_presence()) {
      json.Key(KeyOf(field));
      WriteValue(json, message, field, -1);
    }
  }
}

}  // namespace heed::cli
