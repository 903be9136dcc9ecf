// Every field of every request at its boundaries, found by reflection so that a new field cannot be
// forgotten: the server answers, or says which field is wrong. It never fails in a way that is its
// own fault.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
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

// Elements that are `values` in turn.
void AddElements(Message* m, const FieldDescriptor* field, const std::vector<std::string>& values,
                 int count) {
  for (int i = 0; i < count; ++i)
    m->GetReflection()->AddString(m, field, values[i % values.size()]);
}

template <typename Number>
void AddElements(Message* m, const FieldDescriptor* field, const std::vector<Number>& values,
                 int count) {
  const auto list = m->GetReflection()->GetMutableRepeatedFieldRef<Number>(m, field);
  for (int i = 0; i < count; ++i) list.Add(values[i % values.size()]);
}

std::string Shown(const std::string& text) {
  return absl::StrCat(text.size(), " bytes, ", text.substr(0, 20));
}

template <typename Number>
std::string Shown(Number number) {
  return absl::StrCat(number);
}

// Of the longest lists, which take long, those of one number are of an ordinary one.
bool IsOrdinary(const std::string&) {
  return true;
}

template <typename Number>
bool IsOrdinary(Number number) {
  return number >= -1 && number <= 2;
}

// The field at each of the values; of a list, so many times each, and all of them in turn.
template <typename T, typename Setter>
std::vector<Change> EachOf(const FieldDescriptor* field, const std::vector<T>& values, Setter set) {
  std::vector<Change> changes;
  if (!field->is_repeated()) {
    for (const T& value : values) {
      changes.push_back({Shown(value), [=](Message* m) { set(m->GetReflection(), m, value); }});
    }
    return changes;
  }
  constexpr size_t kMaxRequestBytes =
      size_t{3} << 20;  // gRPC itself refuses what is larger than a message may be
  constexpr int kLongest = 65537;
  for (const T& value : values) {
    for (int count : {1, 17, 1025, kLongest}) {
      if (count > 1 && count * WireBytes(value) > kMaxRequestBytes) break;
      if (count == kLongest && !IsOrdinary(value)) continue;
      changes.push_back({absl::StrCat(count, " times ", Shown(value)),
                         [=](Message* m) { AddElements(m, field, std::vector<T>{value}, count); }});
    }
  }
  if (!std::all_of(values.begin(), values.end(), [](const T& v) { return IsOrdinary(v); })) {
    changes.push_back({absl::StrCat(kLongest, " of all in turn"),
                       [=](Message* m) { AddElements(m, field, values, kLongest); }});
  }
  return changes;
}

template <typename To, typename From>
std::vector<To> Converted(const From& values) {
  std::vector<To> converted;
  for (auto value : values) {
    if (std::is_floating_point_v<To> || value == static_cast<To>(value)) {
      converted.push_back(static_cast<To>(value));
    }
  }
  return converted;
}

std::vector<Change> ChangesOf(const FieldDescriptor* field) {
  using R = google::protobuf::Reflection;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return EachOf(field, Converted<int32_t>(kIntegers),
                    [=](const R* r, Message* m, int32_t v) { r->SetInt32(m, field, v); });
    case FieldDescriptor::CPPTYPE_INT64:
      return EachOf(field, Converted<int64_t>(kIntegers),
                    [=](const R* r, Message* m, int64_t v) { r->SetInt64(m, field, v); });
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return EachOf(field, Reals(),
                    [=](const R* r, Message* m, double v) { r->SetDouble(m, field, v); });
    case FieldDescriptor::CPPTYPE_FLOAT:
      return EachOf(field, Converted<float>(Reals()),
                    [=](const R* r, Message* m, float v) { r->SetFloat(m, field, v); });
    case FieldDescriptor::CPPTYPE_BOOL:
      return EachOf(field, std::vector<int>{0, 1},
                    [=](const R* r, Message* m, int v) { r->SetBool(m, field, v != 0); });
    case FieldDescriptor::CPPTYPE_ENUM:
      return EachOf(field,
                    std::vector<int>{std::numeric_limits<int>::min(), -1, 0, 1, 2, 3, 4,
                                     std::numeric_limits<int>::max()},
                    [=](const R* r, Message* m, int v) { r->SetEnumValue(m, field, v); });
    case FieldDescriptor::CPPTYPE_STRING:
      return EachOf(field, Texts(), [=](const R* r, Message* m, const std::string& v) {
        r->SetString(m, field, v);
      });
    default:
      ADD_FAILURE() << "a type no request used so far: " << field->full_name();
  }
  return {};
}

// A model, and the number of an RPC in kRpcs: a test of its own for each, so that they run side by
// side.
constexpr const char* kRpcs[] = {"OpenTrace",      "RenewTrace",
                                 "CloseTrace",     "ExplainRow",
                                 "GetHeadStats",   "DetectHeads",
                                 "LogitLens",      "AttributeLogits",
                                 "Rollout",        "DecomposeAttention",
                                 "GetActivations", "Intervene",
                                 "Sweep",          "Compare",
                                 "EstimateCost",   "ListModels",
                                 "GetModel",       "Tokenize",
                                 "Detokenize",     "Predict",
                                 "Generate",       "GetAttention",
                                 "Embed"};

class BoundaryTest : public SharedServerTest,
                     public testing::WithParamInterface<std::tuple<std::string, int>> {
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
  const auto& [model, number] = GetParam();
  const std::vector<Rpc> rpcs = AllRpcs(*shared_, model);
  ASSERT_EQ(rpcs.size(), std::size(kRpcs));
  const Rpc& rpc = rpcs[number];
  ASSERT_EQ(rpc.name, kRpcs[number]);
  const std::unique_ptr<Message> request(rpc.valid->New());
  request->CopyFrom(*rpc.valid);
  Visit(rpc, request.get(), request.get(), "");
  EXPECT_GE(fields_, request->GetDescriptor()->field_count());
  EXPECT_TRUE(
      Eventually([] { return shared_->Idle() && shared_->server().attention_bytes() == 0; }));
}

INSTANTIATE_TEST_SUITE_P(Models, BoundaryTest,
                         testing::Combine(testing::Values("llama", "bert"),
                                          testing::Range(0, static_cast<int>(std::size(kRpcs)))),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), "_",
                                               kRpcs[std::get<1>(info.param)]);
                         });

}  // namespace
}  // namespace heed
