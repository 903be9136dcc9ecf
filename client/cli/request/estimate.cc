#include "client/cli/request/estimate.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/base/format.h"
#include "client/cli/base/table.h"
#include "client/cli/base/token_text.h"
#include "client/cli/request/inspect_calls.h"
#include "google/protobuf/descriptor.h"

namespace heed::cli {
namespace {

// Puts `call` into the field of its type.
bool FillCall(const google::protobuf::Message& call, v1::EstimateCostRequest* request) {
  const auto* const calls = v1::EstimateCostRequest::descriptor()->oneof_decl(0);
  for (int i = 0; i < calls->field_count(); ++i) {
    const auto* const field = calls->field(i);
    if (field->message_type() != call.GetDescriptor()) continue;
    request->GetReflection()->MutableMessage(request, field)->CopyFrom(call);
    return true;
  }
  return false;
}

// "1.23e+09", "1.2 billion" being read differently from place to place.
std::string FormatFlops(double flops) {
  return flops < 1e6 ? FormatCount(static_cast<int64_t>(flops)) : absl::StrFormat("%.2e", flops);
}

}  // namespace

OptionSpec EstimateOption() {
  return {"estimate", "", "Say what the call would take, without making it."};
}

absl::Status PrintEstimate(const google::protobuf::Message& request, Session& session) {
  v1::EstimateCostRequest wire;
  if (!FillCall(request, &wire)) {
    return absl::UnimplementedError(
        absl::StrCat("EstimateCost does not know ", request.GetDescriptor()->name(), "."));
  }
  const auto cost = Ask(&Inspector::EstimateCost, wire, session);
  if (!cost.ok()) return cost.status();
  if (PrintedAsJson(*cost, session)) return absl::OkStatus();
  Table table({{"", Align::kLeft, 0, Narrow::kKeep}, {"", Align::kLeft, 0, Narrow::kWrap}});
  table.AddRow({"floating-point operations", FormatFlops(cost->flops())});
  if (cost->edit_flops() > 0) {
    table.AddRow({"  of each edit", FormatFlops(cost->edit_flops())});
  }
  table.AddRow({"memory held", FormatBytes(cost->held_bytes())});
  table.AddRow({"tensors sent", FormatBytes(cost->sent_bytes())});
  table.AddRow(
      {"allowed", cost->allowed() ? "yes" : absl::StrCat("no: ", SafeText(cost->reason()))});
  session.out() << table.Render(session.terminal());
  return absl::OkStatus();
}

}  // namespace heed::cli
