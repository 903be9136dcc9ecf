// Pages for a browser: each a single file without any address to load from. All share a shell, a
// style and a script of pictures (client/cli/pages/page.*), and have one script of their own that
// draws their data.
#ifndef HEED_CLIENT_CLI_PAGES_PAGE_H_
#define HEED_CLIENT_CLI_PAGES_PAGE_H_

#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/json.h"
#include "client/cli/base/session.h"
#include "client/types.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// The shared parts, embedded by the build: a shell with marks for the rest, a style, a script.
extern const absl::string_view kPageShell;
extern const absl::string_view kPageStyle;
extern const absl::string_view kPageScript;
// The pages' own scripts. Each one begins with what it shows.
extern const absl::string_view kAttentionScript;
extern const absl::string_view kAttributeScript;
extern const absl::string_view kCompareScript;
extern const absl::string_view kExploreScript;
extern const absl::string_view kGridScript;
extern const absl::string_view kInterveneScript;
extern const absl::string_view kLadderScript;
extern const absl::string_view kLensScript;
extern const absl::string_view kPcaScript;

// A whole page. `data` is JSON as JsonWriter writes it, which cannot end the element it stands in.
std::string MakePage(absl::string_view script, absl::string_view title, absl::string_view data);

// Where the numbers of a page come from; shown at its foot.
struct PageSource {
  ModelIdentity model;
  std::string compute_dtype;
  std::string definition;
  std::vector<std::string> edits;  // as the command line names them
  int edit_count = 0;              // when there are edits without names
  bool counterfactual = false;
};
PageSource SourceOf(const v1::Provenance& provenance, std::vector<std::string> edits = {});
PageSource SourceOf(const ModelIdentity& model, const Provenance& provenance,
                    std::vector<std::string> edits = {});

// A page's data while it is written: an open object with `version`, `source` and the colours of
// weights in it.
//
//   Page page(SourceOf(answer.provenance()));
//   page.json().Key("tokens");
//   WriteTexts(page.json(), VisibleWireTokens(answer.prompt()));
//   return page.Finish(kSomeScript, "heed some: the keys");
class Page {
 public:
  explicit Page(const PageSource& source);
  JsonWriter& json() { return json_; }
  // Closes the object.
  std::string Finish(absl::string_view script, absl::string_view title);

 private:
  std::ostringstream out_;
  JsonWriter json_;
};

// [rows, columns] as an array of arrays; numbers that are not finite as null.
void WriteMatrix(JsonWriter& json, const std::vector<float>& values, size_t columns);

// "heed lens: " and the prompt, as far as it fits a browser's tab.
std::string PageTitle(absl::string_view verb, const std::vector<std::string>& visible_tokens);

// --html FILE.
OptionSpec HtmlOption();
// Writes the page to the file of --html.
absl::Status WritePage(const Arguments& arguments, Session& session, const std::string& page);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PAGES_PAGE_H_
