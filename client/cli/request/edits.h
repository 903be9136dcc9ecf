// Interventions as the command line writes them.
//
// A place is [SITE:]LAYER[.HEAD][@WORD]: "2.3" is head 3 of layer 2, "mlp:1@keys" what the
// feed-forward half of layer 1 adds at the word keys. * stands for every layer or head, words are
// as RunSource finds them.
#ifndef HEED_CLIENT_CLI_REQUEST_EDITS_H_
#define HEED_CLIENT_CLI_REQUEST_EDITS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/cli/base/arguments.h"
#include "client/cli/request/run_source.h"
#include "heed/v1/intervention.pb.h"
#include "heed/v1/types.pb.h"

namespace heed::cli {

// --cut, --ablate, --focus and so on.
std::vector<OptionSpec> EditOptions();
// --edit-layer and --edit-head, for verbs whose --layer and --head say what is read.
std::vector<OptionSpec> EditScopeOptions();

// An edit and how it reads.
struct NamedEdit {
  std::string name;   // "focus 0 in 3.4"
  std::string typed;  // "--focus=0"
  v1::Intervention edit;
  // The options that said where an edit without a place of its own applies.
  std::string layer_option;
  std::string head_option;
};

// One for each time that an option was given, in the order typed. Edits without a place of their
// own are for the heads of `layer_option` and `head_option`, where given.
absl::StatusOr<std::vector<NamedEdit>> ReadEdits(const Arguments& arguments, RunSource& source,
                                                 const std::string& layer_option = "edit-layer",
                                                 const std::string& head_option = "edit-head");

// Appends edits to the list of a request that is at `path`. Errors about them will name their
// options.
void AddEdits(const std::vector<NamedEdit>& edits, absl::string_view path, Session& session,
              google::protobuf::RepeatedPtrField<v1::Intervention>* list);

// The run of a read with its edits: fills model, prompt and interventions, or trace_id. A trace has
// its edits already, so that both are a usage error. `path` is where the run's fields are, for
// errors: "open." for those of a request's open.
template <typename Request>
absl::Status FillRun(const Arguments& arguments, RunSource& source, Request* request,
                     absl::string_view path = "") {
  source.ApplyTo(request);
  const auto edits = ReadEdits(arguments, source);
  if (!edits.ok()) return edits.status();
  if (source.is_trace() && !edits->empty()) {
    return UsageError(
        "a trace is a run that is over; its edits were made when it was opened.\n"
        "Give the edits to heed traces open, or a prompt in place of the trace.");
  }
  AddEdits(*edits, absl::StrCat(path, "interventions"), source.session(),
           request->mutable_interventions());
  return absl::OkStatus();
}

// F32 [count]: the numbers of a .npy file of float32, row by row, or of a text that separates them
// by spaces, commas or lines.
absl::StatusOr<v1::Tensor> ReadNumbers(const std::string& path);

// A site by its name: residual, residual-mid, attention, mlp, query, key, value or mixed.
absl::StatusOr<v1::Site> ParseSite(const std::string& name);
// "residual".
std::string SiteName(v1::Site site);
// Whether a site has heads, so that edits and reads may choose some.
bool HasHeads(v1::Site site);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_EDITS_H_
