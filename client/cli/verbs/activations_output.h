// What heed activations answers: pictures for a terminal, JSON, a page, and files of numbers.
#ifndef HEED_CLIENT_CLI_VERBS_ACTIVATIONS_OUTPUT_H_
#define HEED_CLIENT_CLI_VERBS_ACTIVATIONS_OUTPUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/base/json.h"
#include "client/cli/base/terminal.h"
#include "client/cli/pages/export.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// A whole answer: the values of each layer in one piece.
struct Activations {
  v1::GetActivationsRequest::FormCase form = v1::GetActivationsRequest::kVectors;
  v1::ActivationsHeader header;
  std::vector<std::vector<float>> layers;  // [rows, width] of each of header.layers
  std::vector<int64_t> widths;
  std::vector<std::vector<double>> explained_variance;
  v1::ActivationsEnd end;
  v1::PromptInfo other;  // of the other run; empty: the cosines are within one run
};

// What cosines are shown with: the words of the same run or of another one.
struct OtherSide {
  bool same_run = true;
  std::vector<std::string> tokens;  // of `positions`
  std::vector<int64_t> positions;
  std::vector<size_t> columns;  // theirs in the values
};
// All words of the other side.
OtherSide WholeOtherSide(const Activations& answer);

std::string ActivationsPicture(const Activations& answer, const OtherSide& other,
                               const Terminal& terminal);
void WriteActivationsJson(const Activations& answer, JsonWriter& json);

// `edits` are those of the run, as the command line names them.

// A usage error when a page would hold more numbers than browsers draw in about a second.
absl::Status CheckPageSize(const Activations& answer);
std::string ActivationsPage(const Activations& answer, const OtherSide& other,
                            const std::vector<std::string>& edits);
// By layer, position and what the form has for each: heads, words of the other side, components or
// elements; nothing more for lengths at a site without heads.
Export ActivationsExport(const Activations& answer, const OtherSide& other,
                         const std::vector<std::string>& edits);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_VERBS_ACTIVATIONS_OUTPUT_H_
