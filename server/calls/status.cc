#include "server/calls/status.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "model/base/error.h"
#include "model/base/utf8.h"

namespace heed {
namespace {

constexpr size_t kMaxFieldBytes = 128;
constexpr size_t kMaxValueBytes = 256;
constexpr int kRetryDelayMilliseconds = 200;

// `text` as UTF-8 of at most `limit` bytes.
std::string Bounded(absl::string_view text, size_t limit) {
  constexpr absl::string_view kCut = "...";
  if (text.size() <= limit) {
    std::string valid = ReplaceInvalidUtf8(text);
    if (valid.size() <= limit) return valid;
  }
  // A replacement character takes three bytes, at most three times what it replaces.
  const std::string valid = ReplaceInvalidUtf8(text.substr(0, limit));
  absl::string_view kept = absl::string_view(valid).substr(0, limit - kCut.size());
  return absl::StrCat(kept.substr(0, CompleteUtf8Prefix(kept)), kCut);
}

void AddErrorInfo(const ErrorDetails& details, google::rpc::Status* out) {
  google::rpc::ErrorInfo info;
  info.set_reason(Bounded(details.reason, kMaxFieldBytes));
  info.set_domain(std::string(kErrorDomain));
  for (const auto& [key, value] : details.metadata) {
    (*info.mutable_metadata())[Bounded(key, kMaxFieldBytes)] = Bounded(value, kMaxValueBytes);
    // The reason must get through whatever else does not.
    if (info.ByteSizeLong() > kMaxErrorDetailsBytes / 2) {
      info.mutable_metadata()->erase(Bounded(key, kMaxFieldBytes));
      break;
    }
  }
  out->add_details()->PackFrom(info);
}

void AddViolation(absl::string_view field, absl::string_view description,
                  google::rpc::BadRequest* bad_request) {
  auto* violation = bad_request->add_field_violations();
  violation->set_field(Bounded(field, kMaxFieldBytes));
  violation->set_description(Bounded(description, kMaxValueBytes));
}

void AddBadRequest(const ErrorDetails& details, absl::string_view message,
                   google::rpc::Status* out) {
  google::rpc::BadRequest bad_request;
  for (const auto& [key, value] : details.metadata) {
    if (key == "field") AddViolation(value, message, &bad_request);
  }
  for (const FieldViolation& violation : details.violations) {
    AddViolation(violation.field, violation.description, &bad_request);
  }
  constexpr size_t kEnvelopeBytes = 64;  // type URL and lengths
  while (bad_request.field_violations_size() > 0 &&
         out->ByteSizeLong() + bad_request.ByteSizeLong() + kEnvelopeBytes >
             kMaxErrorDetailsBytes) {
    bad_request.mutable_field_violations()->RemoveLast();
  }
  if (bad_request.field_violations_size() > 0) out->add_details()->PackFrom(bad_request);
}

void AddRetryInfo(google::rpc::Status* out) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(kRetryDelayMilliseconds * 1000 * 1000);
  out->add_details()->PackFrom(retry);
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const ErrorDetails details = GetErrorDetails(status);
  const std::string message = Bounded(status.message(), kMaxErrorMessageBytes);

  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(message);
  AddErrorInfo(details, &rich);
  if (details.reason == "QUEUE_FULL") AddRetryInfo(&rich);
  AddBadRequest(details, message, &rich);
  // The canonical codes of Abseil and gRPC are the same numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      rich.SerializeAsString());
}

}  // namespace heed
