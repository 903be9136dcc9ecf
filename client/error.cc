#include "client/error.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace heed {
inline namespace client {
namespace {

constexpr char kTypePrefix[] = "type.googleapis.com/";

// The detail of type `Message` that `status` carries, if it carries one that parses.
template <typename Message>
std::optional<Message> Detail(const absl::Status& status) {
  const auto payload = status.GetPayload(kTypePrefix + Message::descriptor()->full_name());
  Message message;
  if (!payload || !message.ParseFromString(std::string(*payload))) return std::nullopt;
  return message;
}

// gRPC's own words where they are the answer to what a caller did, as heed would say it.
std::string MessageOf(const grpc::Status& status) {
  const std::string text = status.error_message();
  const absl::string_view message = text;
  constexpr absl::string_view kTooLarge = "Received message larger than max (";
  const size_t begin = message.find(kTooLarge);
  if (begin == absl::string_view::npos || !absl::EndsWith(message, ")")) return text;
  absl::string_view sizes = message.substr(begin + kTooLarge.size());
  sizes.remove_suffix(1);
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(sizes, absl::MaxSplits(" vs. ", 1));
  return absl::StrCat("the message has ", parts.first, " bytes; its receiver takes at most ",
                      parts.second);
}

}  // namespace

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), MessageOf(status));
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return result;
  for (const google::protobuf::Any& detail : details.details()) {
    result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return result;
}

ServerError GetServerError(const absl::Status& status) {
  ServerError error;
  if (const auto info = Detail<google::rpc::ErrorInfo>(status)) {
    error.reason = info->reason();
    error.metadata.insert(info->metadata().begin(), info->metadata().end());
  }
  if (const auto bad = Detail<google::rpc::BadRequest>(status)) {
    for (const auto& violation : bad->field_violations()) {
      error.wrong_fields.push_back({violation.field(), violation.description()});
    }
  }
  if (const auto retry = Detail<google::rpc::RetryInfo>(status)) {
    error.retry_after = absl::Seconds(retry->retry_delay().seconds()) +
                        absl::Nanoseconds(retry->retry_delay().nanos());
  }
  return error;
}

bool IsConnectionError(const absl::Status& status) {
  return absl::IsUnavailable(status) && !Detail<google::rpc::ErrorInfo>(status);
}

}  // namespace client
}  // namespace heed
