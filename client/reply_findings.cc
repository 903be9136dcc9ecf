#include "client/reply_findings.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace heed {
inline namespace client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

int64_t FloatCount(const v1::Tensor& tensor) {
  return static_cast<int64_t>(tensor.data().size() / sizeof(float));
}

float FloatAt(const v1::Tensor& tensor, int64_t index) {
  float value = 0;
  std::memcpy(&value, tensor.data().data() + index * static_cast<int64_t>(sizeof(float)),
              sizeof(float));
  return value;
}

// The index of the first float that is not as it should be; -1: there is none.
template <typename Good>
int64_t FirstBad(const v1::Tensor& tensor, Good good) {
  for (int64_t i = 0; i < FloatCount(tensor); ++i) {
    if (!good(FloatAt(tensor, i))) return i;
  }
  return -1;
}

// Whether the shape has exactly `count` elements. No product is made that could overflow.
bool HasElements(const v1::Tensor& tensor, int64_t count) {
  const auto& shape = tensor.shape();
  if (std::any_of(shape.begin(), shape.end(), [](int64_t size) { return size < 0; })) return false;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return count == 0;
  int64_t product = 1;
  for (int64_t size : shape) {
    if (size > count / product) return false;
    product *= size;
  }
  return product == count;
}

std::string ShapeText(const v1::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.shape(), ", "), "]");
}

std::string ElementPath(const std::string& path, int index) {
  return absl::StrCat(path, "[", index, "]");
}

}  // namespace

absl::Status ReplyFindings::ToStatus() const {
  if (first_.empty()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the server's answer is broken: ", first_));
}

void ReplyFindings::CheckTensor(absl::string_view field, const v1::Tensor& tensor) {
  if (tensor.dtype() != v1::DATA_TYPE_F32) {
    return Add(field, " is of type ", static_cast<int>(tensor.dtype()), "; expected F32");
  }
  if (tensor.data().size() % sizeof(float) != 0 || !HasElements(tensor, FloatCount(tensor))) {
    return Add(field, " has ", tensor.data().size(), " bytes for shape ", ShapeText(tensor),
               " of F32");
  }
  const int64_t bad = FirstBad(tensor, [](float value) { return !std::isnan(value); });
  if (bad >= 0) Add(field, ": element ", bad, " is not a number");
}

void ReplyFindings::CheckFinite(absl::string_view field, const v1::Tensor& tensor) {
  const int64_t bad = FirstBad(tensor, [](float value) { return std::isfinite(value); });
  if (bad >= 0) Add(field, ": element ", bad, " is ", FloatAt(tensor, bad));
}

void ReplyFindings::CheckShape(absl::string_view field, const v1::Tensor& tensor,
                               std::initializer_list<int64_t> shape) {
  if (std::equal(tensor.shape().begin(), tensor.shape().end(), shape.begin(), shape.end())) {
    return CheckTensor(field, tensor);
  }
  Add(field, " has shape ", ShapeText(tensor), "; expected [", absl::StrJoin(shape, ", "), "]");
}

void ReplyFindings::CheckNumbers(const Message& message) {
  CheckNumbers("", message);
}

void ReplyFindings::CheckNumbers(const std::string& path, const Message& message) {
  if (const auto* const tensor = dynamic_cast<const v1::Tensor*>(&message)) {
    return CheckTensor(path, *tensor);
  }
  const Reflection* const reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* const field : fields) {
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    const bool is_double = field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
    const bool is_float = field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT;
    // Tokens, of which there may be very many, have no numbers but whole ones.
    if (is_message && field->message_type() == v1::Token::descriptor()) continue;
    if (!is_message && !is_double && !is_float) continue;
    const std::string name = absl::StrCat(path, path.empty() ? "" : ".", field->name());
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count && empty(); ++i) {
      if (is_message) {
        CheckNumbers(field->is_repeated() ? ElementPath(name, i) : name,
                     field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                          : reflection->GetMessage(message, field));
        continue;
      }
      const double value =
          is_double ? (field->is_repeated() ? reflection->GetRepeatedDouble(message, field, i)
                                            : reflection->GetDouble(message, field))
                    : (field->is_repeated() ? reflection->GetRepeatedFloat(message, field, i)
                                            : reflection->GetFloat(message, field));
      if (!std::isnan(value)) continue;
      Add(field->is_repeated() ? ElementPath(name, i) : name, " is not a number");
    }
  }
}

}  // namespace client
}  // namespace heed
