#include "model/base/error.h"

#include <cstdint>
#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace heed {
namespace {

constexpr absl::string_view kPayloadUrl = "heed.v1/ErrorDetails";

// The payload is a sequence of strings, each as "<length>:<bytes>". Lists are preceded by their
// count.
void AppendString(std::string& out, absl::string_view value) {
  absl::StrAppend(&out, value.size(), ":", value);
}

void AppendCount(std::string& out, size_t count) {
  AppendString(out, absl::StrCat(count));
}

std::string Encode(const ErrorDetails& details) {
  std::string out;
  AppendString(out, details.reason);
  AppendCount(out, details.metadata.size());
  for (const auto& [key, value] : details.metadata) {
    AppendString(out, key);
    AppendString(out, value);
  }
  AppendCount(out, details.violations.size());
  for (const FieldViolation& violation : details.violations) {
    AppendString(out, violation.field);
    AppendString(out, violation.description);
  }
  return out;
}

// Reads what Encode wrote. Payloads made elsewhere end in `ok() == false`.
class Decoder {
 public:
  explicit Decoder(absl::string_view rest) : rest_(rest) {}

  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }

  std::string String() {
    const size_t colon = rest_.find(':');
    uint64_t size = 0;
    if (!ok_ || colon == absl::string_view::npos ||
        !absl::SimpleAtoi(rest_.substr(0, colon), &size) || size > rest_.size() - colon - 1) {
      ok_ = false;
      return "";
    }
    std::string value(rest_.substr(colon + 1, size));
    rest_.remove_prefix(colon + 1 + size);
    return value;
  }

  uint64_t Count() {
    uint64_t count = 0;
    if (!absl::SimpleAtoi(String(), &count)) ok_ = false;
    return ok_ ? count : 0;
  }

 private:
  absl::string_view rest_;
  bool ok_ = true;
};

std::optional<ErrorDetails> Decode(absl::string_view bytes) {
  Decoder decoder(bytes);
  ErrorDetails details;
  details.reason = decoder.String();
  for (uint64_t n = decoder.Count(); n > 0 && decoder.ok(); --n) {
    std::string key = decoder.String();
    std::string value = decoder.String();
    details.metadata.emplace_back(std::move(key), std::move(value));
  }
  for (uint64_t n = decoder.Count(); n > 0 && decoder.ok(); --n) {
    std::string field = decoder.String();
    std::string description = decoder.String();
    details.violations.push_back({std::move(field), std::move(description)});
  }
  if (!decoder.done()) return std::nullopt;
  return details;
}

absl::Status WithDetails(absl::StatusCode code, absl::string_view message,
                         const ErrorDetails& details) {
  absl::Status status(code, message);
  status.SetPayload(kPayloadUrl, absl::Cord(Encode(details)));
  return status;
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       std::vector<std::pair<std::string, std::string>> metadata) {
  return WithDetails(code, message, {std::string(reason), std::move(metadata), {}});
}

absl::Status InvalidFields(std::vector<FieldViolation> violations) {
  const std::string message =
      absl::StrJoin(violations, "; ", [](std::string* out, const FieldViolation& violation) {
        absl::StrAppend(out, violation.field, ": ", violation.description);
      });
  return WithDetails(absl::StatusCode::kInvalidArgument, message,
                     {"INVALID_FIELD", {}, std::move(violations)});
}

absl::Status Annotate(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(prefix, ": ", status.message()));
  status.ForEachPayload([&annotated](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

ErrorDetails GetErrorDetails(const absl::Status& status) {
  if (const auto payload = status.GetPayload(kPayloadUrl)) {
    if (auto details = Decode(std::string(*payload))) return *std::move(details);
  }
  return {absl::StatusCodeToString(status.code()), {}, {}};
}

}  // namespace heed
