// Every field of every request at its boundaries, found by reflection so that a new field cannot be
// forgotten: the server answers, or says which field is wrong. It never fails in a way that is its
// own fault.
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/reflection.h"
#include "gtest/gtest.h"
#include "tests/integration/all_rpcs.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The limits that the protos name, the models' sizes, and the ends of the types.
constexpr int64_t kIntegers[] = {std::numeric_limits<int64_t>::min(),
                                 std::numeric_limits<int32_t>::min(),
                                 -129,
                                 -65,
                                 -4,
                                 -1,
                                 0,
                                 1,
                                 2,
                                 3,
                                 4,
                                 63,
                                 64,
                                 65,
                                 127,
                                 128,
                                 129,
                                 299,
                                 300,
                                 319,
                                 320,
                                 65536,
                                 65537,
                                 std::numeric_limits<int32_t>::max(),
                                 std::numeric_limits<int64_t>::max()};

const std::vector<double>& Reals() {
  static const auto* const reals =
      new std::vector<double>{-std::numeric_limits<double>::infinity(),
                              std::numeric_limits<float>::lowest(),
                              -100.001,
                              -100,
                              -10.001,
                              -10,
                              -1,
                              -0.0,
                              0,
                              std::numeric_limits<float>::denorm_min(),
                              1e-20,
                              0.5,
                              1,
                              1.0001,
                              10,
                              10.001,
                              100,
                              100.001,
                              std::numeric_limits<float>::max(),
                              std::numeric_limits<double>::infinity(),
                              std::numeric_limits<double>::quiet_NaN()};
  return *reals;
}

std::vector<std::string> Texts() {
  return {"",
          "a",
          " ",
          "\xff\xfe",
          "\xed\xa0\x80",
          std::string(1, '\0'),
          std::string(257, 'x'),
          std::string((1 << 20) + 1, 'x'),
          "<|end_of_text|>",
          "\xf0\x9f\x98\x80"};
}

// A change of one field, and its name for messages.
struct Change {
  std::string value;
  std::function<void(Message*)> apply;
};

size_t WireBytes(const std::string& text) {
  return text.size() + 4;
}

template <typename Number>
size_t WireBytes(Number) {
  return 10;
}

void AddElements(Message* m, const FieldDescriptor* field, const std::string& text, int count) {
  for (int i = 0; i < count; ++i) m->GetReflection()->AddString(m, field, text);
}

template <typename Number>
void AddElements(Message* m, const FieldDescriptor* field, Number number, int count) {
  const auto list = m->GetReflection()->GetMutableRepeatedFieldRef<Number>(m, field);
  for (int i = 0; i < count; ++i) list.Add(number);
}

template <typename T, typename Setter>
void AddChanges(const FieldDescriptor* field, const T& value, const std::string& shown, Setter set,
                std::vector<Change>* changes) {
  if (!field->is_repeated()) {
    changes->push_back({shown, [=](Message* m) { set(m->GetReflection(), m, value); }});
    return;
  }
  constexpr size_t kMaxRequestBytes =
      size_t{3} << 20;  // gRPC itself refuses what is larger than a message may be
  for (int count : {1, 17, 1025, 65537}) {
    if (count > 1 && count * WireBytes(value) > kMaxRequestBytes) break;
    changes->push_back({absl::StrCat(count, " times ", shown),
                        [=](Message* m) { AddElements(m, field, value, count); }});
  }
}

std::vector<Change> ChangesOf(const FieldDescriptor* field) {
  using google::protobuf::Reflection;
  std::vector<Change> changes;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      for (int64_t value : kIntegers) {
        if (value != static_cast<int32_t>(value)) continue;
        AddChanges(
            field, static_cast<int32_t>(value), absl::StrCat(value),
            [=](const Reflection* r, Message* m, int32_t v) { r->SetInt32(m, field, v); },
            &changes);
      }
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      for (int64_t value : kIntegers) {
        AddChanges(
            field, value, absl::StrCat(value),
            [=](const Reflection* r, Message* m, int64_t v) { r->SetInt64(m, field, v); },
            &changes);
      }
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      for (double value : Reals()) {
        AddChanges(
            field, value, absl::StrCat(value),
            [=](const Reflection* r, Message* m, double v) { r->SetDouble(m, field, v); },
            &changes);
      }
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      for (double value : Reals()) {
        AddChanges(
            field, static_cast<float>(value), absl::StrCat(value),
            [=](const Reflection* r, Message* m, float v) { r->SetFloat(m, field, v); }, &changes);
      }
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      for (bool value : {false, true}) {
        AddChanges(
            field, value, absl::StrCat(value),
            [=](const Reflection* r, Message* m, bool v) { r->SetBool(m, field, v); }, &changes);
      }
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      for (int value :
           {std::numeric_limits<int>::min(), -1, 0, 1, 2, 3, 4, std::numeric_limits<int>::max()}) {
        AddChanges(
            field, value, absl::StrCat(value),
            [=](const Reflection* r, Message* m, int v) { r->SetEnumValue(m, field, v); },
            &changes);
      }
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      for (const std::string& value : Texts()) {
        AddChanges(
            field, value, absl::StrCat(value.size(), " bytes, ", value.substr(0, 20)),
            [=](const Reflection* r, Message* m, const std::string& v) {
              r->SetString(m, field, v);
            },
            &changes);
      }
      break;
    default:
      ADD_FAILURE() << "a type no request used so far: " << field->full_name();
  }
  return changes;
}

class BoundaryTest : public SharedServerTest, public testing::WithParamInterface<std::string> {
 protected:
  // `part`: what may be blamed, the field itself or a message that came into the request with it.
  void Check(const Rpc& rpc, const Message& request, const std::string& path,
             const std::string& value, const std::string& part) {
    const grpc::Status status = rpc.call(request, nullptr);
    const std::string what = absl::StrCat(rpc.name, ": ", path, " = ", value, ": ",
                                          status.error_code(), " ", status.error_message());
    if (status.ok()) return;
    EXPECT_THAT(status.error_code(), testing::AnyOf(grpc::INVALID_ARGUMENT, grpc::OUT_OF_RANGE,
                                                    grpc::FAILED_PRECONDITION,
                                                    grpc::RESOURCE_EXHAUSTED, grpc::NOT_FOUND))
        << what;
    const auto info = Detail<google::rpc::ErrorInfo>(status);
    ASSERT_TRUE(info.has_value()) << what;
    EXPECT_EQ(info->domain(), "heed") << what;
    EXPECT_FALSE(info->reason().empty()) << what;
    if (status.error_code() != grpc::INVALID_ARGUMENT &&
        status.error_code() != grpc::OUT_OF_RANGE) {
      return;
    }
    // The field itself, an element of it, or the message it is in.
    const std::vector<std::string> fields = WrongFields(status);
    EXPECT_FALSE(fields.empty()) << what;
    for (const std::string& field : fields) {
      EXPECT_TRUE(absl::StartsWith(field, part) || absl::StartsWith(part, field))
          << what << " blames " << field;
    }
  }

  // Visits all fields below `message`, which is part of `request`; `added`: the path of the
  // outermost message around them that the request did not have before.
  void Visit(const Rpc& rpc, Message* request, Message* message, const std::string& path,
             const std::string& added = "") {
    const google::protobuf::Descriptor* const type = message->GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* const field = type->field(i);
      const std::string field_path =
          path.empty() ? field->name() : absl::StrCat(path, ".", field->name());
      const std::unique_ptr<Message> before(message->New());
      before->CopyFrom(*message);
      if (field->is_map()) {
        VisitLogitBias(rpc, request, message, field_path, added.empty() ? field_path : added);
      } else if (field->name() == "interventions" && rpc.name != "OpenTrace") {
        continue;  // the same wherever they stand
      } else if (field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        VisitMessages(rpc, request, message, field, field_path, added);
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        const bool is_new = added.empty() && !message->GetReflection()->HasField(*message, field);
        Visit(rpc, request, message->GetReflection()->MutableMessage(message, field), field_path,
              is_new ? field_path : added);
      } else {
        for (const Change& change : ChangesOf(field)) {
          message->CopyFrom(*before);
          change.apply(message);
          Check(rpc, *request, field_path, change.value, added.empty() ? field_path : added);
        }
        ++fields_;
      }
      message->CopyFrom(*before);
    }
  }

  // A list of messages: all fields of one of them, and other numbers of the same.
  void VisitMessages(const Rpc& rpc, Message* request, Message* message,
                     const FieldDescriptor* field, const std::string& path,
                     const std::string& added) {
    const google::protobuf::Reflection* const reflection = message->GetReflection();
    ASSERT_LE(reflection->FieldSize(*message, field), 1) << path;
    const bool is_new = reflection->FieldSize(*message, field) == 0;
    if (is_new) reflection->AddMessage(message, field);
    const std::string part = is_new && added.empty() ? path : added;
    Visit(rpc, request, reflection->MutableRepeatedMessage(message, field, 0),
          absl::StrCat(path, "[0]"), part);
    const std::unique_ptr<Message> one(reflection->GetRepeatedMessage(*message, field, 0).New());
    one->CopyFrom(reflection->GetRepeatedMessage(*message, field, 0));
    for (int count : {0, 2, 255, 256, 257, 65537}) {
      reflection->ClearField(message, field);
      for (int i = 0; i < count; ++i) reflection->AddMessage(message, field)->CopyFrom(*one);
      Check(rpc, *request, path, absl::StrCat(count, " of them"), part.empty() ? path : part);
    }
    ++fields_;
  }

  void VisitLogitBias(const Rpc& rpc, Message* request, Message* message, const std::string& path,
                      const std::string& part) {
    auto* const sampling = dynamic_cast<v1::SamplingParameters*>(message);
    ASSERT_NE(sampling, nullptr) << "a map no request had so far: " << path;
    for (int64_t id : kIntegers) {
      if (id != static_cast<int32_t>(id)) continue;
      for (double bias : Reals()) {
        sampling->mutable_logit_bias()->clear();
        (*sampling->mutable_logit_bias())[static_cast<int32_t>(id)] = static_cast<float>(bias);
        Check(rpc, *request, path, absl::StrCat(id, ": ", bias), part);
      }
    }
    for (int count : {312, 320, 1024, 1025}) {
      sampling->mutable_logit_bias()->clear();
      for (int id = 0; id < count; ++id) {
        (*sampling->mutable_logit_bias())[id] = -std::numeric_limits<float>::infinity();
      }
      Check(rpc, *request, path, absl::StrCat(count, " tokens forbidden"), part);
    }
    ++fields_;
  }
  int fields_ = 0;
};

TEST_P(BoundaryTest, EveryFieldIsAnsweredOrBlamed) {
  for (const Rpc& rpc : AllRpcs(*shared_, GetParam())) {
    const std::unique_ptr<Message> request(rpc.valid->New());
    request->CopyFrom(*rpc.valid);
    Visit(rpc, request.get(), request.get(), "");
  }
  EXPECT_GE(fields_, 50);
  EXPECT_TRUE(
      Eventually([] { return shared_->Idle() && shared_->server().attention_bytes() == 0; }));
}

INSTANTIATE_TEST_SUITE_P(Models, BoundaryTest, testing::Values("llama", "bert"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace heed
